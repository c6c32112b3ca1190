#include "core/mapped_file.h"

#include "core/windows.h"

namespace omni {

std::unique_ptr<mapped_file> mapped_file::open(const std::string & path) {
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;  // as any file elsewhere
    const HANDLE file = CreateFileW(wide(path).c_str(), GENERIC_READ, share, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) {
        return nullptr;
    }
    LARGE_INTEGER size;
    void * data = nullptr;
    if (GetFileSizeEx(file, &size) && size.QuadPart > 0) {
        const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
        if (mapping) {
            data = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
            CloseHandle(mapping);  // the view keeps the mapping, and that the file
        }
    }
    CloseHandle(file);
    return std::unique_ptr<mapped_file>(data ? new mapped_file(static_cast<char *>(data), size_t(size.QuadPart)) : nullptr);
}

mapped_file::~mapped_file() { UnmapViewOfFile(data_); }

} // namespace omni
