// Typed reading of a GGUF header. A key's stored type is compared before it is read: ggml's getters end the
// process on a mismatch. Keys are asked for under a prefix, so a component names them without its own name.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct gguf_context;
struct ggml_context;
struct ggml_tensor;

namespace omni {

class gguf_file {
  public:
    explicit gguf_file(const std::string & path);
    ~gguf_file();
    gguf_file(const gguf_file &) = delete;
    gguf_file & operator=(const gguf_file &) = delete;

    const std::string & path() const { return path_; }
    ggml_tensor * tensor(const std::string & name) const;  // its type and shape, or nullptr
    uint64_t tensor_offset(const std::string & name) const;  // bytes from the start of the file
    std::vector<std::string> tensor_names() const;

    uint32_t u32(const std::string & key) const;
    float f32(const std::string & key) const;
    bool boolean(const std::string & key) const;
    std::string text(const std::string & key) const;
    std::vector<int32_t> i32_array(const std::string & key) const;
    std::vector<std::string> strings(const std::string & key) const;

  private:
    std::string stored(const std::string & tensor) const;  // its name in the file, "" where it has none
    int64_t find(const std::string & key, int type) const;
    int64_t find_array(const std::string & key, int type) const;

    std::string    path_;
    gguf_context * gguf_ = nullptr;
    ggml_context * meta_ = nullptr;
    std::string    lacking_;  // what this file's tensor names lack of ours, "" in a file of our own
};

// The keys of one component: "n_layer" is read as "<prefix>.n_layer".
class gguf_keys {
  public:
    gguf_keys(std::shared_ptr<const gguf_file> file, std::string prefix) : file_(std::move(file)), prefix_(std::move(prefix)) {}

    int64_t size(const std::string & key) const;  // a u32 of at least 1: a count or a width
    uint32_t u32(const std::string & key) const { return file_->u32(full(key)); }
    float f32(const std::string & key) const { return file_->f32(full(key)); }
    float above_zero(const std::string & key) const;
    bool boolean(const std::string & key) const { return file_->boolean(full(key)); }
    std::vector<int32_t> sizes(const std::string & key) const;  // each at least 1, the array not empty
    const gguf_file & file() const { return *file_; }

  private:
    std::string full(const std::string & key) const { return prefix_ + "." + key; }

    std::shared_ptr<const gguf_file> file_;
    std::string prefix_;
};

} // namespace omni
