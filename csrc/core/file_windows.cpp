#include "core/file.h"

#include "core/windows.h"

#include <io.h>

namespace omni {

file_ptr file_open(const std::string & path) { return file_ptr(_wfopen(wide(path).c_str(), L"rb")); }

bool file_is_folder(const std::string & path) {
    const DWORD attributes = GetFileAttributesW(wide(path).c_str());
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

// fseek and ftell count in a long, which has 32 bits here.
bool file_seek(FILE * f, uint64_t at) { return at <= INT64_MAX && _fseeki64(f, int64_t(at), SEEK_SET) == 0; }

bool file_size(FILE * f, uint64_t * n) {
    const int64_t size = _filelengthi64(_fileno(f));
    *n = uint64_t(size);
    return size >= 0 && GetFileType(reinterpret_cast<HANDLE>(_get_osfhandle(_fileno(f)))) == FILE_TYPE_DISK;
}

} // namespace omni
