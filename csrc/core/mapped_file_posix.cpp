#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace omni {

std::unique_ptr<mapped_file> mapped_file::open(const std::string & path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return nullptr;
    }
    struct stat st;
    void * data = MAP_FAILED;
    if (fstat(file, &st) == 0 && st.st_size > 0) {
        data = mmap(nullptr, size_t(st.st_size), PROT_READ, MAP_SHARED, file, 0);
    }
    close(file);  // the map keeps the file
    return std::unique_ptr<mapped_file>(data == MAP_FAILED ? nullptr : new mapped_file(static_cast<char *>(data), size_t(st.st_size)));
}

mapped_file::~mapped_file() { munmap(data_, size_); }

} // namespace omni
