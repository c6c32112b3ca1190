#include "core/gguf_check.h"

#include "core/error.h"
#include "core/file.h"

#include "ggml.h"
#include <gguf.h>  // ggml's, not the one beside this file

#include <cstdint>
#include <cstdio>
#include <memory>
#include <unordered_set>
#include <vector>

namespace omni {

namespace {

const uint64_t max_entries   = 1 << 15;    // keys, or tensors: ggml compares each name with all before it
const uint64_t max_key       = (1 << 16) - 1;
const uint64_t max_alignment = 1 << 20;

uint64_t bytes_of(uint32_t type) {
    switch (type) {
        case GGUF_TYPE_UINT8: case GGUF_TYPE_INT8: case GGUF_TYPE_BOOL: return 1;
        case GGUF_TYPE_UINT16: case GGUF_TYPE_INT16: return 2;
        case GGUF_TYPE_UINT32: case GGUF_TYPE_INT32: case GGUF_TYPE_FLOAT32: return 4;
        case GGUF_TYPE_UINT64: case GGUF_TYPE_INT64: case GGUF_TYPE_FLOAT64: return 8;
        default: return 0;
    }
}

// A position in the file, which moves only over bytes that are there.
class header_walk {
  public:
    explicit header_walk(const std::string & path) : path_(path), f_(file_open(path)) {
        if (!f_ || !file_size(f_.get(), &end_)) {
            fail(OMNI_ERROR_IO, "%s: the file cannot be opened, or not read from any place", path.c_str());
        }
        rewind(f_.get());
    }

    size_t run() {
        skip(4, "the magic");
        const uint32_t version = number<uint32_t>("the version");
        if (version != 2 && version != 3) {
            damaged(text_of("GGUF version %u, expected 2 or 3", version));
        }
        const uint64_t n_tensors = count("tensors"), n_keys = count("keys");
        names_.clear();
        for (uint64_t i = 0; i < n_keys; i++) {
            key(name("key", max_key));
        }
        names_.clear();
        for (uint64_t i = 0; i < n_tensors; i++) {
            tensor(name("tensor", GGML_MAX_NAME - 1));
        }
        const uint64_t start = GGML_PAD(at_, alignment_);  // at_ and the ends are within the file, so no sum wraps
        for (const auto & [name, end] : ends_) {
            if (start + end > end_) {
                fail(OMNI_ERROR_FORMAT, "%s: the file is cut short: it has %llu bytes and tensor '%s' ends at %llu",
                     path_.c_str(), (unsigned long long) end_, name.c_str(), (unsigned long long) (start + end));
            }
        }
        return size_t(8 * at_) + ends_.size() * 4 * ggml_tensor_overhead();  // strings of a few bytes weigh most
    }

  private:
    [[noreturn]] void damaged(const std::string & what) const {
        fail(OMNI_ERROR_FORMAT, "%s: the GGUF header is damaged or cut short (%s)", path_.c_str(), what.c_str());
    }

    void need(uint64_t n, const char * what) {
        if (n > end_ - at_) {
            damaged(text_of("%s takes %llu bytes at byte %llu of %llu", what, (unsigned long long) n, (unsigned long long) at_,
                            (unsigned long long) end_));
        }
        at_ += n;
    }

    void read(void * to, size_t n, const char * what) {
        need(n, what);
        if (n && fread(to, 1, n, f_.get()) != n) {
            fail(OMNI_ERROR_IO, "%s: the file cannot be read", path_.c_str());
        }
    }

    void skip(uint64_t n, const char * what) {
        char some[4096];
        if (n <= sizeof(some)) {  // most strings: a seek would throw the buffer away
            read(some, size_t(n), what);
            return;
        }
        need(n, what);
        if (!file_seek(f_.get(), at_)) {
            fail(OMNI_ERROR_IO, "%s: the file cannot be read", path_.c_str());
        }
    }

    template <typename T> T number(const char * what) {
        T value;
        read(&value, sizeof(value), what);
        return value;
    }

    uint64_t count(const char * what) {
        const uint64_t n = number<uint64_t>(what);
        if (n > max_entries) {
            damaged(text_of("%llu %s, expected at most %llu", (unsigned long long) n, what, (unsigned long long) max_entries));
        }
        return n;
    }

    // Not empty, not there already, and without a zero, at which ggml would cut it and take it for another.
    std::string name(const char * what, uint64_t longest) {
        const uint64_t n = number<uint64_t>(what);
        if (n < 1 || n > longest) {
            damaged(text_of("a %s whose name has %llu bytes, expected 1 to %llu", what, (unsigned long long) n,
                            (unsigned long long) longest));
        }
        std::string text(size_t(n), '\0');
        read(&text[0], text.size(), what);
        if (text.find('\0') != std::string::npos) {
            damaged(text_of("a %s whose name holds a zero, after '%s'", what, text.c_str()));
        }
        if (!names_.insert(text).second) {
            damaged(text_of("%s '%s' is there twice", what, text.c_str()));
        }
        return text;
    }

    void key(const std::string & name) {
        const char * what = name.c_str();
        uint32_t type = number<uint32_t>(what);
        if (name == "general.alignment") {
            alignment(type);
            return;
        }
        uint64_t n = 1;
        if (type == GGUF_TYPE_ARRAY) {
            type = number<uint32_t>(what);
            n    = number<uint64_t>(what);
        }
        const uint64_t bytes = type == GGUF_TYPE_STRING ? sizeof(uint64_t) : bytes_of(type);
        if (!bytes) {
            damaged(text_of("key '%s' is of the unknown type %u", what, type));
        }
        if (n > (end_ - at_) / bytes) {
            damaged(text_of("key '%s' has %llu values at byte %llu of %llu", what, (unsigned long long) n,
                            (unsigned long long) at_, (unsigned long long) end_));
        }
        if (type != GGUF_TYPE_STRING) {
            skip(n * bytes, what);
            return;
        }
        for (uint64_t i = 0; i < n; i++) {
            skip(number<uint64_t>(what), what);
        }
    }

    void alignment(uint32_t type) {
        if (type != GGUF_TYPE_UINT32) {
            const char * known = gguf_type_name(gguf_type(type));
            fail(OMNI_ERROR_FORMAT, "%s: key 'general.alignment' is of type %s, expected u32", path_.c_str(), known ? known : "unknown");
        }
        alignment_ = number<uint32_t>("general.alignment");
        if (alignment_ < 1 || alignment_ > max_alignment || (alignment_ & (alignment_ - 1))) {
            fail(OMNI_ERROR_FORMAT, "%s: key 'general.alignment' is %llu, expected a power of two up to %llu", path_.c_str(),
                 (unsigned long long) alignment_, (unsigned long long) max_alignment);
        }
    }

    void tensor(const std::string & name) {
        const char * what = name.c_str();
        const uint32_t n_dims = number<uint32_t>(what);
        if (n_dims > GGML_MAX_DIMS) {
            damaged(text_of("tensor '%s' has %u axes, expected at most %d", what, n_dims, GGML_MAX_DIMS));
        }
        uint64_t ne[GGML_MAX_DIMS] = {1, 1, 1, 1};
        for (uint32_t k = 0; k < n_dims; k++) {
            ne[k] = number<uint64_t>(what);
            if (ne[k] == 0) {
                fail(OMNI_ERROR_FORMAT, "%s: tensor '%s' has 0 elements along axis %u, expected at least 1", path_.c_str(), what, k);
            }
        }
        const uint32_t type   = number<uint32_t>(what);
        const uint64_t offset = number<uint64_t>(what);
        const uint64_t block  = type < GGML_TYPE_COUNT ? uint64_t(ggml_blck_size(ggml_type(type))) : 0;
        if (!block) {
            damaged(text_of("tensor '%s' is of the unknown type %u", what, type));
        }
        if (ne[0] % block) {
            damaged(text_of("tensor '%s' has rows of %llu, expected a multiple of %llu for type %s", what,
                            (unsigned long long) ne[0], (unsigned long long) block, ggml_type_name(ggml_type(type))));
        }
        ne[0] /= block;
        uint64_t bytes = ggml_type_size(ggml_type(type));
        for (uint64_t n : ne) {
            if (n > end_ / bytes) {  // so the product stays below the file's size, however large its factors
                fail(OMNI_ERROR_FORMAT, "%s: the file is cut short: it has %llu bytes, and tensor '%s' needs more", path_.c_str(),
                     (unsigned long long) end_, what);
            }
            bytes *= n;
        }
        if (offset != next_) {
            damaged(text_of("tensor '%s' has offset %llu, expected %llu", what, (unsigned long long) offset,
                            (unsigned long long) next_));
        }
        ends_.push_back({name, next_ + bytes});
        next_ = GGML_PAD(next_ + bytes, alignment_);
    }

    const std::string & path_;
    file_ptr f_;
    uint64_t at_ = 0, end_ = 0;
    uint64_t alignment_ = GGUF_DEFAULT_ALIGNMENT;
    uint64_t next_ = 0;  // where the next tensor lies, from the start of the data: at most max_entries files behind it
    std::unordered_set<std::string> names_;
    std::vector<std::pair<std::string, uint64_t>> ends_;
};

} // namespace

size_t check_gguf_header(const std::string & path) { return header_walk(path).run(); }

} // namespace omni
