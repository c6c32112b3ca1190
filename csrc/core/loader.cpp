#include "core/loader.h"

#include "core/error.h"
#include "core/file.h"
#include "core/headroom.h"
#include "core/pages.h"
#include "core/snapshot.h"

#include "ggml-alloc.h"

#include <algorithm>
#include <cstdio>

namespace omni {

std::string text_of(const shape & ne) {
    std::string text = "[";
    for (size_t i = 0; i < ne.size(); i++) {
        text += (i ? ", " : "") + std::to_string(ne[i]);
    }
    return text + "]";
}

static shape shape_of(const ggml_tensor * t) {
    return shape(t->ne, t->ne + ggml_n_dims(t));
}

// Trailing ones say nothing: ggml stores [96, 1] and [96] alike.
static shape trimmed(shape ne) {
    while (ne.size() > 1 && ne.back() == 1) {
        ne.pop_back();
    }
    return ne;
}

weights::weights(std::shared_ptr<omni::device> d, const std::string & path, const std::string & component)
    : device_(std::move(d)), file_(std::make_shared<gguf_file>(path)), component_(component) {
    const std::vector<std::string> held = file_->strings("pyomni.components");
    if (std::find(held.begin(), held.end(), component) == held.end()) {
        std::string list;
        for (const std::string & h : held) {
            list += (list.empty() ? "" : ", ") + h;
        }
        fail(OMNI_ERROR_UNSUPPORTED, "%s: has no component '%s'; it has: %s", path.c_str(), component.c_str(), list.c_str());
    }
    const size_t n = file_->tensor_names().size() + 1;
    need_memory(n * ggml_tensor_overhead());
    ctx_.reset(ggml_init({/*.mem_size =*/n * ggml_tensor_overhead(), /*.mem_buffer =*/nullptr, /*.no_alloc =*/true}));
}

loader weights::root() { return loader(*this, component_, component_); }

ggml_tensor * weights::request(const std::string & name, const shape & ne, bool f32_only, bool widen) {
    const char * path = file_->path().c_str();
    const ggml_tensor * found = file_->tensor(name);
    if (!found) {
        fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' of shape %s is missing", path, name.c_str(), text_of(ne).c_str());
    }
    if (shape_of(found) != trimmed(ne)) {
        fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' has shape %s, expected %s", path, name.c_str(),
             text_of(shape_of(found)).c_str(), text_of(ne).c_str());
    }
    if (f32_only && found->type != GGML_TYPE_F32 && found->type != GGML_TYPE_F16) {
        fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' is of type %s, expected f32, or f16 to be widened", path, name.c_str(),
             ggml_type_name(found->type));
    }
    // What ggml cannot turn into floats is an integer, or a type of products under way (q8_1, q8_K) that has no kernels.
    if (!f32_only && found->type != GGML_TYPE_F32 && !ggml_get_type_traits(found->type)->to_float) {
        fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' is of type %s, which no weight may have", path, name.c_str(),
             ggml_type_name(found->type));
    }
    if (ne[0] % ggml_blck_size(found->type) != 0) {
        fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' has rows of %lld, expected a multiple of %lld for type %s", path,
             name.c_str(), (long long) ne[0], (long long) ggml_blck_size(found->type), ggml_type_name(found->type));
    }
    auto it = tensors_.find(name);
    if (it != tensors_.end()) {
        return it->second;
    }
    const ggml_type type = widen && found->type == GGML_TYPE_F16 ? GGML_TYPE_F32 : found->type;
    ggml_tensor *   t    = ggml_new_tensor(ctx_.get(), type, int(ne.size()), ne.data());
    ggml_set_name(t, name.c_str());
    tensors_[name] = t;
    return t;
}

// Less than this is read at once: what lies in memory of its own is a little faster to work on.
static const uint64_t min_mapped_bytes = uint64_t(2) << 30;

// A table from here on stays in the file all the same: only the rows that are looked up are ever read.
static const uint64_t min_mapped_table_bytes = uint64_t(64) << 20;

static const size_t max_head = 256;  // bytes of a tensor that a fingerprint is made of

void weights::upload(const load_options & how) {
    const std::string prefix = component_ + ".";
    for (const std::string & name : file_->tensor_names()) {
        if (name.compare(0, prefix.size(), prefix) == 0 && !tensors_.count(name)) {
            fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' is not one that component '%s' knows", file_->path().c_str(),
                 name.c_str(), component_.c_str());
        }
    }
    std::set<std::string> tables;  // of which few rows are ever looked up: in the file, whatever the device
    if (how.map != load_options::map_never) {
        const std::vector<std::string> large = large_tables({tables_.begin(), tables_.end()});
        tables.insert(large.begin(), large.end());
    }
    uint64_t n_host = 0;
    std::vector<std::string> on_host, on_device;
    for (const auto & [name, t] : tensors_) {
        if (takers_.count(name)) {
            continue;
        }
        const bool host = device_->is_cpu() || tables.count(name) || (how.host_experts && name.find("_exps.") != std::string::npos);
        (host ? on_host : on_device).push_back(name);
    }
    if (how.packed) {
        pack(on_host);
    }
    for (const std::string & name : on_host) {
        n_host += tensors_.at(name)->buffer ? 0 : ggml_nbytes(tensors_.at(name));
    }
    if (how.map == load_options::map_always || (how.map == load_options::map_large && n_host >= min_mapped_bytes)) {
        map(on_host);
    } else if (how.map == load_options::map_large) {
        map(large_tables(on_host));
    }
    allocate(on_host, device_->host_buffer_type());
    allocate(on_device, device_->buffer_type());

    fingerprint_ = how.fast;  // a stream's state differs then
    const file_ptr f = file_open(file_->path());
    if (!f) {
        fail(OMNI_ERROR_IO, "%s: the file cannot be opened", file_->path().c_str());
    }
    std::map<std::string, std::vector<char>> heads;  // of what nobody gives back
    for (const auto & [name, t] : tensors_) {
        const auto taker = takers_.find(name);
        if (taker != takers_.end()) {
            const std::vector<float> all = values(name, f.get());
            const char * bytes = reinterpret_cast<const char *>(all.data());
            heads[name].assign(bytes, bytes + std::min(max_head, all.size() * sizeof(float)));
            n_bytes_ += taker->second(all.data(), how);
        } else if (!mapped_.count(name)) {
            read(name, f.get());
        }
    }
    takers_.clear();
    for (const auto & [name, t] : tensors_) {
        char head[max_head];
        const size_t n = std::min(sizeof(head), ggml_nbytes(t));
        if (heads.count(name)) {
            std::copy(heads[name].begin(), heads[name].end(), head);
        } else if (packed_.count(name)) {  // whose bytes nobody gives back either
            seek(name, f.get());
            take(name, f.get(), head, n);
        } else {
            ggml_backend_tensor_get(t, head, 0, n);
        }
        fingerprint_ = omni::fingerprint(name.data(), name.size(), fingerprint_ ^ uint64_t(t->type));
        fingerprint_ = omni::fingerprint(t->ne, sizeof(t->ne), fingerprint_);
        fingerprint_ = omni::fingerprint(head, n, fingerprint_);
    }
}

std::vector<std::string> weights::large_tables(const std::vector<std::string> & names) const {
    std::vector<std::string> large;
    for (const std::string & name : names) {
        if (tables_.count(name) && ggml_nbytes(tensors_.at(name)) >= min_mapped_table_bytes) {
            large.push_back(name);
        }
    }
    return large;
}

// Where each tensor lies as ggml wants it; those that do not are left to allocate.
void weights::map(const std::vector<std::string> & names) {
    file_map_ = names.empty() ? nullptr : mapped_file::open(file_->path());
    buffer_ptr buffer = file_map_ ? device_->host_buffer(file_map_->data(), file_map_->size()) : nullptr;
    if (!buffer) {
        file_map_ = nullptr;
        return;
    }
    ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    const uint64_t alignment = ggml_backend_buffer_get_alignment(buffer.get());
    for (const std::string & name : names) {
        ggml_tensor * t = tensors_.at(name);
        const uint64_t offset = file_->tensor_offset(name);
        const bool     as_is  = file_->tensor(name)->type == t->type && !t->buffer;
        if (as_is && offset % alignment == 0 && offset + ggml_nbytes(t) <= file_map_->size()) {
            ggml_backend_tensor_alloc(buffer.get(), t, file_map_->data() + offset);
            n_bytes_ += int64_t(ggml_nbytes(t));
            mapped_.insert(name);
        }
    }
    buffers_.push_back(std::move(buffer));
}

// Asks about the product that a matrix, or the matrices of experts, are for.
static bool can_pack(const device & d, ggml_tensor * w, ggml_backend_buffer_type_t type) {
    const buffer_ptr  nowhere(ggml_backend_buft_alloc_buffer(type, 0));
    const context_ptr c(ggml_init({/*.mem_size =*/4 * ggml_tensor_overhead(), /*.mem_buffer =*/nullptr, /*.no_alloc =*/true}));
    ggml_tensor * x = ggml_new_tensor_3d(c.get(), GGML_TYPE_F32, w->ne[0], 1, 8);
    ggml_tensor * y = w->ne[2] == 1 ? ggml_mul_mat(c.get(), w, x)
                                    : ggml_mul_mat_id(c.get(), w, x, ggml_new_tensor_2d(c.get(), GGML_TYPE_I32, 1, 8));
    w->buffer = nowhere.get();
    const bool yes = nowhere && d.runs(y);
    w->buffer = nullptr;
    return yes;
}

void weights::pack(const std::vector<std::string> & names) {
    for (ggml_backend_buffer_type_t type : device_->packed_buffer_types()) {
        std::vector<std::string> able;
        for (const std::string & name : names) {
            ggml_tensor * t = tensors_.at(name);
            if (matrices_.count(name) && !t->buffer && file_->tensor(name)->type == t->type && can_pack(*device_, t, type)) {
                able.push_back(name);
            }
        }
        allocate(able, type);
        packed_.insert(able.begin(), able.end());
    }
}

void weights::allocate(const std::vector<std::string> & names, ggml_backend_buffer_type_t type) {
    size_t n = 0;
    for (const std::string & name : names) {
        const ggml_tensor * t = tensors_.at(name);
        n += t->buffer ? 0 : GGML_PAD(ggml_backend_buft_get_alloc_size(type, t), ggml_backend_buft_get_alignment(type));
    }
    if (!n) {
        return;
    }
    buffer_ptr buffer(ggml_backend_buft_alloc_buffer(type, n + ggml_backend_buft_get_alignment(type)));
    if (buffer && ggml_backend_buffer_is_host(buffer.get())) {
        prefer_huge_pages(ggml_backend_buffer_get_base(buffer.get()), ggml_backend_buffer_get_size(buffer.get()));
    }
    ggml_tallocr place = buffer ? ggml_tallocr_new(buffer.get()) : ggml_tallocr{};
    for (const std::string & name : names) {
        ggml_tensor * t = tensors_.at(name);
        if (!buffer || (!t->buffer && ggml_tallocr_alloc(&place, t) != GGML_STATUS_SUCCESS)) {
            fail(OMNI_ERROR_MEMORY, "%s: the weights of '%s' do not fit on device '%s'", file_->path().c_str(),
                 component_.c_str(), device_->name().c_str());
        }
    }
    ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    n_bytes_ += int64_t(ggml_backend_buffer_get_size(buffer.get()));
    buffers_.push_back(std::move(buffer));
}

void weights::seek(const std::string & name, FILE * f) const {
    if (!file_seek(f, file_->tensor_offset(name))) {
        fail(OMNI_ERROR_IO, "%s: tensor '%s' lies outside the file", file_->path().c_str(), name.c_str());
    }
}

void weights::take(const std::string & name, FILE * f, void * to, size_t n) const {
    if (fread(to, 1, n, f) != n) {
        fail(OMNI_ERROR_FORMAT, "%s: the file ends inside tensor '%s'", file_->path().c_str(), name.c_str());
    }
}

void weights::read(const std::string & name, FILE * f) const {
    ggml_tensor * t = tensors_.at(name);
    seek(name, f);
    if (file_->tensor(name)->type != t->type) {
        widen(name, f);
        return;
    }
    const bool   host = ggml_backend_buffer_is_host(t->buffer);
    const size_t n    = ggml_nbytes(t);
    const size_t step = host || packed_.count(name) ? n : size_t(16) << 20;
    std::vector<char> chunk(host ? 0 : std::min(step, n));
    for (size_t at = 0; at < n; at += step) {
        const size_t m = std::min(step, n - at);
        char * to = host ? static_cast<char *>(t->data) : chunk.data();
        take(name, f, to, m);
        if (!host) {
            ggml_backend_tensor_set(t, to, at, m);
        }
    }
}

// What a small file stores as f16 and is computed with as f32.
void weights::widen(const std::string & name, FILE * f) const {
    const std::vector<float> wide = values(name, f);
    ggml_backend_tensor_set(tensors_.at(name), wide.data(), 0, wide.size() * sizeof(float));
}

std::vector<float> weights::values(const std::string & name, FILE * f) const {
    seek(name, f);
    std::vector<float> wide(size_t(ggml_nelements(tensors_.at(name))));
    if (file_->tensor(name)->type == GGML_TYPE_F32) {
        take(name, f, wide.data(), wide.size() * sizeof(float));
        return wide;
    }
    std::vector<ggml_fp16_t> stored(wide.size());
    take(name, f, stored.data(), stored.size() * sizeof(ggml_fp16_t));
    ggml_fp16_to_fp32_row(stored.data(), wide.data(), int64_t(wide.size()));
    return wide;
}

loader::loader(weights & w, std::string prefix, std::string component, bool widen)
    : kv(w.file_, component), w_(&w), prefix_(std::move(prefix)), component_(std::move(component)), widen_(widen) {}

ggml_tensor * loader::weight(const std::string & name, const shape & ne) const {
    return w_->request(path(name), ne, /*f32_only =*/false, widen_);
}

ggml_tensor * loader::matrix(const std::string & name, const shape & ne) const {
    ggml_tensor * t = weight(name, ne);
    w_->matrices_.insert(path(name));
    return t;
}

ggml_tensor * loader::table(const std::string & name, const shape & ne) const {
    ggml_tensor * t = weight(name, ne);
    w_->tables_.insert(path(name));
    return t;
}

ggml_tensor * loader::f32(const std::string & name, const shape & ne) const {
    return w_->request(path(name), ne, /*f32_only =*/true, /*widen =*/true);
}

bool loader::floats(const std::string & name) const {
    const ggml_tensor * t = w_->file_->tensor(path(name));
    return t && (t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_F16);
}

void loader::values(const std::string & name, const shape & ne, value_taker take) const {
    f32(name, ne);
    w_->takers_[path(name)] = std::move(take);
}

state_slot loader::state_zeros(const shape & ne) const {
    w_->states_.push_back({ne, true, 0});
    return int(w_->states_.size()) - 1;
}

state_slot loader::state_kv(const shape & ne, int64_t head_dim) const {
    w_->states_.push_back({ne, false, head_dim});
    return int(w_->states_.size()) - 1;
}

} // namespace omni
