// A device: where weights live and graphs run. Sessions share its thread pool, one graph at a time.
#pragma once

#include "core/fault.h"

#include "ggml-backend.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct ggml_threadpool;

namespace omni {

struct backend_free {
    void operator()(ggml_backend_t b) const {
        if (!device_lost()) {
            ggml_backend_free(b);
        }
    }
};
using backend_ptr = std::unique_ptr<ggml_backend, backend_free>;

struct buffer_free {
    void operator()(ggml_backend_buffer_t b) const {
        if (!device_lost() || ggml_backend_buffer_is_host(b)) {
            ggml_backend_buffer_free(b);
        }
    }
};
using buffer_ptr = std::unique_ptr<ggml_backend_buffer, buffer_free>;

class device {
  public:
    // name: "cpu", "cuda0", ... (lower case); n_threads 0: one per core this process may use.
    device(const std::string & name, int n_threads);
    ~device();
    device(const device &) = delete;
    device & operator=(const device &) = delete;

    const std::string & name() const { return name_; }
    int n_threads() const { return n_threads_; }
    void limit(int n);                                           // runs that begin from now on use at most n threads; 0: all
    int  at_most(int n) const;                                   // n threads, or what the limit leaves of them
    void use_threads(ggml_backend_t cpu, int n) const;           // of the pool, in its next runs
    bool is_cpu() const;
    ggml_backend_buffer_type_t buffer_type() const;
    ggml_backend_buffer_type_t host_buffer_type() const;         // of the CPU, whatever this device is
    // Where the CPU keeps the left side of a product rearranged for its kernels; those of this machine, the best first.
    std::vector<ggml_backend_buffer_type_t> packed_buffer_types() const;
    bool runs(const ggml_tensor * op) const;                     // whether the CPU does, its weights where they are
    buffer_ptr host_buffer(void * data, size_t n) const;         // memory that is there already, as one of the CPU's

    // The backends of one session, this device's first and the CPU last, each with the abort callback set.
    std::vector<backend_ptr> open_backends(int n_threads, ggml_abort_callback abort, void * abort_data) const;

    std::mutex compute;  // the thread pool runs one graph at a time

    static std::string list();  // "name\tkind\tdescription\n" for each device
    static std::string build(); // a wheel's "cpu\thaswell\n", "AVX2\t1\n" for each feature the CPU's kernels use

  private:
    ggml_backend_dev_t dev_ = nullptr;
    ggml_backend_dev_t cpu_ = nullptr;
    std::string        name_;
    int                n_threads_ = 1;
    std::atomic<int>   limit_{0};
    ggml_threadpool *  pool_ = nullptr;
};

} // namespace omni
