#include "core/gguf_check.h"

#include "core/error.h"

#include "ggml.h"
#include <gguf.h>  // ggml's, not the one beside this file

#include <cstdint>
#include <cstdio>
#include <memory>

namespace omni {

namespace {

struct file_close {
    void operator()(FILE * f) const { fclose(f); }
};

// Reads on; once something was not there, everything after it is 0 and `ok` stays false.
struct header_reader {
    std::unique_ptr<FILE, file_close> f;
    bool ok;

    explicit header_reader(const std::string & path) : f(fopen(path.c_str(), "rb")), ok(f != nullptr) {}

    template <typename T> T number() {
        T value{};
        ok = ok && fread(&value, sizeof(value), 1, f.get()) == 1;
        return ok ? value : T{};
    }

    void skip(uint64_t n) {
        char some[4096];
        if (n <= sizeof(some)) {  // most strings: a seek would throw the buffer away
            ok = ok && fread(some, 1, size_t(n), f.get()) == n;
        } else {
            ok = ok && n <= INT64_MAX && fseeko(f.get(), off_t(n), SEEK_CUR) == 0;
        }
    }

    std::string name() {
        const uint64_t n = number<uint64_t>();
        std::string text(size_t(n < 256 ? n : 0), '\0');
        if (n < 256) {
            ok = ok && fread(&text[0], 1, text.size(), f.get()) == text.size();
        } else {
            skip(n);  // longer than any that is looked for here
        }
        return text;
    }
};

uint64_t bytes_of(uint32_t type) {
    switch (type) {
        case GGUF_TYPE_UINT8: case GGUF_TYPE_INT8: case GGUF_TYPE_BOOL: return 1;
        case GGUF_TYPE_UINT16: case GGUF_TYPE_INT16: return 2;
        case GGUF_TYPE_UINT32: case GGUF_TYPE_INT32: case GGUF_TYPE_FLOAT32: return 4;
        case GGUF_TYPE_UINT64: case GGUF_TYPE_INT64: case GGUF_TYPE_FLOAT64: return 8;
        default: return 0;
    }
}

void skip_values(header_reader & r, uint32_t type, uint64_t n) {
    if (type == GGUF_TYPE_STRING) {
        for (uint64_t i = 0; i < n && r.ok; i++) {
            r.skip(r.number<uint64_t>());
        }
        return;
    }
    const uint64_t bytes = bytes_of(type);
    r.ok = r.ok && bytes != 0 && n <= INT64_MAX / 8;
    r.skip(bytes * (r.ok ? n : 0));
}

} // namespace

void check_gguf_header(const std::string & path) {
    header_reader r(path);
    r.skip(4);
    const uint32_t version = r.number<uint32_t>();
    if (version != 2 && version != 3) {
        return;
    }
    const uint64_t n_tensors = r.number<uint64_t>(), n_keys = r.number<uint64_t>();
    for (uint64_t i = 0; i < n_keys && r.ok; i++) {
        const std::string key = r.name();
        uint32_t type = r.number<uint32_t>();
        if (r.ok && key == "general.alignment" && type != GGUF_TYPE_UINT32) {
            const char * known = gguf_type_name(gguf_type(type));
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' is of type %s, expected u32", path.c_str(), key.c_str(), known ? known : "unknown");
        }
        uint64_t n = 1;
        if (type == GGUF_TYPE_ARRAY) {
            type = r.number<uint32_t>();
            n    = r.number<uint64_t>();
        }
        skip_values(r, type, n);
    }
    for (uint64_t i = 0; i < n_tensors && r.ok; i++) {
        const std::string name = r.name();
        const uint32_t n_dims = r.number<uint32_t>();
        r.ok = r.ok && n_dims <= GGML_MAX_DIMS;
        for (uint32_t k = 0; k < n_dims && r.ok; k++) {
            if (r.number<int64_t>() == 0 && r.ok) {
                fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' has 0 elements along axis %u, expected at least 1", path.c_str(),
                     name.c_str(), k);
            }
        }
        r.skip(sizeof(uint32_t) + sizeof(uint64_t));  // type and offset
    }
}

} // namespace omni
