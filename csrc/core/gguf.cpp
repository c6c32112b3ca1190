#include "core/gguf.h"

#include "core/error.h"
#include "core/file.h"
#include "core/foreign.h"
#include "core/gguf_check.h"
#include "core/headroom.h"
#include "core/log.h"

#include "ggml.h"
#include <gguf.h>  // ggml's, not the one beside this file

#include <cmath>

namespace omni {

static const int64_t max_size = 1 << 28;  // larger than any width or count of a real model

gguf_file::gguf_file(const std::string & path) : path_(path) {
    log_install();
    if (file_is_folder(path)) {
        fail(OMNI_ERROR_IO, "%s: is a folder, expected a GGUF file", path.c_str());
    }
    file_ptr f = file_open(path);
    if (!f) {
        fail(OMNI_ERROR_IO, "%s: the file cannot be opened", path.c_str());
    }
    char magic[4] = {};
    const size_t n = fread(magic, 1, sizeof(magic), f.get());
    f.reset();
    if (n != 4 || std::string(magic, 4) != "GGUF") {
        fail(OMNI_ERROR_FORMAT, "%s: does not begin with 'GGUF', so it is not a GGUF file", path.c_str());
    }
    need_memory(check_gguf_header(path));
    log_take();
    gguf_ = gguf_init_from_file(path.c_str(), {/*.no_alloc =*/true, /*.ctx =*/&meta_});
    if (!gguf_) {
        const std::string why = log_take();
        fail(OMNI_ERROR_FORMAT, "%s: the GGUF header is damaged or cut short (%s)", path.c_str(), why.c_str());
    }
    try {
        lacking_ = adopt(gguf_, path_);
    } catch (...) {
        gguf_free(gguf_);
        ggml_free(meta_);
        throw;
    }
}

gguf_file::~gguf_file() {
    gguf_free(gguf_);
    ggml_free(meta_);
}

std::string gguf_file::stored(const std::string & tensor) const {
    return tensor.compare(0, lacking_.size(), lacking_) == 0 ? tensor.substr(lacking_.size()) : "";
}

ggml_tensor * gguf_file::tensor(const std::string & name) const { return ggml_get_tensor(meta_, stored(name).c_str()); }

uint64_t gguf_file::tensor_offset(const std::string & name) const {
    const int64_t id = gguf_find_tensor(gguf_, stored(name).c_str());
    return id < 0 ? 0 : gguf_get_data_offset(gguf_) + gguf_get_tensor_offset(gguf_, id);
}

std::vector<std::string> gguf_file::tensor_names() const {
    std::vector<std::string> names;
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf_); i++) {
        names.push_back(lacking_ + gguf_get_tensor_name(gguf_, i));
    }
    return names;
}

int64_t gguf_file::find(const std::string & key, int type) const {
    const int64_t id = gguf_find_key(gguf_, key.c_str());
    if (id < 0) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is missing", path_.c_str(), key.c_str());
    }
    const gguf_type found = gguf_get_kv_type(gguf_, id);
    if (found != type) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is of type %s, expected %s", path_.c_str(), key.c_str(),
             gguf_type_name(found), gguf_type_name(gguf_type(type)));
    }
    return id;
}

int64_t gguf_file::find_array(const std::string & key, int type) const {
    const int64_t id = find(key, GGUF_TYPE_ARRAY);
    const gguf_type found = gguf_get_arr_type(gguf_, id);
    if (found != type) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is an array of %s, expected %s", path_.c_str(), key.c_str(),
             gguf_type_name(found), gguf_type_name(gguf_type(type)));
    }
    return id;
}

uint32_t gguf_file::u32(const std::string & key) const { return gguf_get_val_u32(gguf_, find(key, GGUF_TYPE_UINT32)); }

float gguf_file::f32(const std::string & key) const { return gguf_get_val_f32(gguf_, find(key, GGUF_TYPE_FLOAT32)); }

bool gguf_file::boolean(const std::string & key) const { return gguf_get_val_bool(gguf_, find(key, GGUF_TYPE_BOOL)); }

std::string gguf_file::text(const std::string & key) const { return gguf_get_val_str(gguf_, find(key, GGUF_TYPE_STRING)); }

std::vector<int32_t> gguf_file::i32_array(const std::string & key) const {
    const int64_t id = find_array(key, GGUF_TYPE_INT32);
    const size_t n = gguf_get_arr_n(gguf_, id);
    const int32_t * data = n ? static_cast<const int32_t *>(gguf_get_arr_data(gguf_, id)) : nullptr;
    return std::vector<int32_t>(data, data + n);
}

std::vector<std::string> gguf_file::strings(const std::string & key) const {
    const int64_t id = find_array(key, GGUF_TYPE_STRING);
    std::vector<std::string> out;
    for (size_t i = 0; i < gguf_get_arr_n(gguf_, id); i++) {
        out.emplace_back(gguf_get_arr_str(gguf_, id, i));
    }
    return out;
}

int64_t gguf_keys::size(const std::string & key) const {
    const uint32_t value = u32(key);
    if (value < 1 || value > max_size) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is %u, expected 1 to %lld", file_->path().c_str(), full(key).c_str(), value,
             (long long) max_size);
    }
    return value;
}

float gguf_keys::above_zero(const std::string & key) const {
    const float value = f32(key);
    if (!(value > 0.0f) || !std::isfinite(value)) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is %g, expected a number above 0 and finite", file_->path().c_str(), full(key).c_str(),
             double(value));
    }
    return value;
}

std::vector<int32_t> gguf_keys::sizes(const std::string & key) const {
    std::vector<int32_t> values = file_->i32_array(full(key));
    if (values.empty()) {
        fail(OMNI_ERROR_FORMAT, "%s: key '%s' is empty, expected at least one number", file_->path().c_str(), full(key).c_str());
    }
    for (int32_t v : values) {
        if (v < 1 || v > max_size) {
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' holds %d, expected 1 to %lld", file_->path().c_str(), full(key).c_str(), v,
                 (long long) max_size);
        }
    }
    return values;
}

} // namespace omni
