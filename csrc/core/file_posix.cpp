#include "core/file.h"

#include <sys/stat.h>

namespace omni {

file_ptr file_open(const std::string & path) { return file_ptr(fopen(path.c_str(), "rb")); }

bool file_is_folder(const std::string & path) {
    struct stat st;
    return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_seek(FILE * f, uint64_t at) { return at <= INT64_MAX && fseeko(f, off_t(at), SEEK_SET) == 0; }

bool file_size(FILE * f, uint64_t * n) {
    const off_t end = fseeko(f, 0, SEEK_END) == 0 ? ftello(f) : -1;
    *n = uint64_t(end);
    return end >= 0 && int64_t(end) < INT64_MAX;  // what some systems say of a folder
}

} // namespace omni
