// A file as memory: read by the system, page by page, when and where it is looked at.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace omni {

class mapped_file {
  public:
    static std::unique_ptr<mapped_file> open(const std::string & path);  // nullptr where the system cannot
    ~mapped_file();
    mapped_file(const mapped_file &) = delete;
    mapped_file & operator=(const mapped_file &) = delete;

    char * data() const { return data_; }  // not to be written to
    size_t size() const { return size_; }

  private:
    mapped_file(char * data, size_t size) : data_(data), size_(size) {}

    char * data_;
    size_t size_;
};

} // namespace omni
