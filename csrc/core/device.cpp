#include "core/device.h"

#include "core/backends.h"
#include "core/cores.h"
#include "core/error.h"
#include "core/headroom.h"

#include <algorithm>
#include <cctype>

namespace omni {

static std::string device_name(ggml_backend_dev_t dev) {
    std::string name = ggml_backend_dev_name(dev);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    return name;
}

// A GPU that is none: ggml's Vulkan backend calls them all so. They are slower than the CPU they run on.
static bool is_software(const std::string & description) {
    for (const char * name : {"llvmpipe", "lavapipe", "softpipe", "SwiftShader", "Software", "Basic Render"}) {
        if (description.find(name) != std::string::npos) {
            return true;
        }
    }
    return false;
}

static const char * device_kind(ggml_backend_dev_t dev) {
    switch (ggml_backend_dev_type(dev)) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:  return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:  return is_software(ggml_backend_dev_description(dev)) ? "software" : "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU: return is_software(ggml_backend_dev_description(dev)) ? "software" : "igpu";
        default:                            return "other";
    }
}

// A function of the CPU backend, looked up by name so that it is found whether ggml is linked in or loaded.
template <typename F> static F cpu_function(ggml_backend_dev_t cpu, const char * name) {
    void * f = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name);
    if (!f) {
        fail(OMNI_ERROR_INTERNAL, "the CPU backend has no function '%s'", name);
    }
    return reinterpret_cast<F>(f);
}

device::device(const std::string & name, int n_threads) {
    backends_load();
    fault_install();
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU && !cpu_) {
            cpu_ = dev;
        }
        if (device_name(dev) == name && !dev_) {
            dev_ = dev;
        }
    }
    if (!cpu_) {
        fail(OMNI_ERROR_UNSUPPORTED, "this build has no CPU backend");
    }
    if (!dev_ && name == "cpu") {
        dev_ = cpu_;
    }
    if (!dev_) {
        std::string known;
        for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
            known += (i ? ", " : "") + device_name(ggml_backend_dev_get(i));
        }
        fail(OMNI_ERROR_ARGUMENT, "device '%s' is not here; expected auto or one of: %s", name.c_str(), known.c_str());
    }
    if (n_threads < 0 || n_threads > GGML_MAX_N_THREADS) {
        fail(OMNI_ERROR_ARGUMENT, "n_threads is %d, expected 0 (all cores) to %d", n_threads, GGML_MAX_N_THREADS);
    }
    name_      = device_name(dev_);
    n_threads_ = n_threads ? n_threads : usable_cores();

    // One pool for all sessions: ggml would otherwise start and join its threads anew for every graph.
    need_threads(n_threads_ - 1);  // the caller is one of them
    auto params = ggml_threadpool_params_default(n_threads_);
    params.poll = 0;  // who is idle sleeps: by default a thread spins for a tenth of a second behind each graph
    pool_ = cpu_function<decltype(&ggml_threadpool_new)>(cpu_, "ggml_threadpool_new")(&params);
    if (!pool_) {
        fail(OMNI_ERROR_MEMORY, "a pool of %d threads could not be started", n_threads_);
    }
}

device::~device() {
    if (pool_) {
        cpu_function<decltype(&ggml_threadpool_free)>(cpu_, "ggml_threadpool_free")(pool_);
    }
}

void device::limit(int n) {
    if (n < 0) {
        fail(OMNI_ERROR_ARGUMENT, "the limit is %d threads, expected 0 (all) or more", n);
    }
    limit_ = n;
}

int device::at_most(int n) const {
    const int limit = limit_;
    return limit ? std::min(limit, n) : n;
}

void device::use_threads(ggml_backend_t cpu, int n) const {
    cpu_function<decltype(&ggml_backend_cpu_set_n_threads)>(cpu_, "ggml_backend_set_n_threads")(cpu, n);
}

bool device::is_cpu() const { return dev_ == cpu_; }

ggml_backend_buffer_type_t device::buffer_type() const { return ggml_backend_dev_buffer_type(dev_); }

ggml_backend_buffer_type_t device::host_buffer_type() const { return ggml_backend_dev_buffer_type(cpu_); }

std::vector<ggml_backend_buffer_type_t> device::packed_buffer_types() const {
    const auto types = cpu_function<ggml_backend_dev_get_extra_bufts_t>(cpu_, "ggml_backend_dev_get_extra_bufts")(cpu_);
    std::vector<ggml_backend_buffer_type_t> list;
    for (auto * type = types; type && *type; type++) {
        list.push_back(*type);
    }
    return list;
}

bool device::runs(const ggml_tensor * op) const { return ggml_backend_dev_supports_op(cpu_, op); }

buffer_ptr device::host_buffer(void * data, size_t n) const {
    return buffer_ptr(ggml_backend_dev_buffer_from_host_ptr(cpu_, data, n, n));
}

std::vector<backend_ptr> device::open_backends(int n_threads, ggml_abort_callback abort, void * abort_data) const {
    std::vector<backend_ptr> backends;
    std::vector<ggml_backend_dev_t> devs{dev_};
    if (!is_cpu()) {
        devs.push_back(cpu_);  // the scheduler wants the CPU last: it runs what no other backend supports
    }
    for (ggml_backend_dev_t dev : devs) {
        if (dev != cpu_ && device_lost()) {
            fail(OMNI_ERROR_DEVICE, "device '%s' is not used again: a device failed in this process", name_.c_str());
        }
        backend_ptr b(ggml_backend_dev_init(dev, nullptr));
        if (!b) {
            fail(dev == cpu_ ? OMNI_ERROR_MEMORY : OMNI_ERROR_DEVICE, "device '%s' could not be opened", device_name(dev).c_str());
        }
        if (dev == cpu_) {
            use_threads(b.get(), n_threads);
            cpu_function<decltype(&ggml_backend_cpu_set_threadpool)>(cpu_, "ggml_backend_cpu_set_threadpool")(b.get(), pool_);
            cpu_function<decltype(&ggml_backend_cpu_set_abort_callback)>(cpu_, "ggml_backend_set_abort_callback")(
                b.get(), abort, abort_data);
        }
        backends.push_back(std::move(b));
    }
    return backends;
}

std::string device::list() {
    backends_load();
    std::string lines;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        lines += device_name(dev) + "\t" + device_kind(dev) + "\t" + ggml_backend_dev_description(dev) + "\n";
    }
    return lines;
}

std::string device::build() {
    backends_load();
    std::string lines;
    if (!cpu_library().empty()) {
        lines += "cpu\t" + cpu_library() + "\n";
    }
    for (const ggml_backend_feature * f = cpu_features(); f && f->name; f++) {
        lines += std::string(f->name) + "\t" + f->value + "\n";
    }
    return lines;
}

} // namespace omni
