// Reading a file, named in UTF-8 whatever the system's own names are made of, from any of its bytes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace omni {

struct file_close {
    void operator()(FILE * f) const { fclose(f); }
};
using file_ptr = std::unique_ptr<FILE, file_close>;

file_ptr file_open(const std::string & path);  // nullptr where it cannot be read
bool     file_is_folder(const std::string & path);
bool     file_seek(FILE * f, uint64_t at);     // false where there is no such place
bool     file_size(FILE * f, uint64_t * n);    // false where it has none, as a pipe; leaves the place where it likes

} // namespace omni
