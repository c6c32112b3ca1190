#include "core/library.h"

#include "core/windows.h"

namespace omni {

const char * const library_prefix = "pyomni-ggml-";
const char * const library_suffix = ".dll";

std::filesystem::path module_folder() {
    HMODULE module = nullptr;
    const DWORD how = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    wchar_t name[32768] = {};  // the longest there is
    const bool known = GetModuleHandleExW(how, reinterpret_cast<LPCWSTR>(&module_folder), &module) && GetModuleFileNameW(module, name, 32767);
    return known ? std::filesystem::path(name).parent_path() : std::filesystem::path();
}

void * library_open(const std::filesystem::path & path, std::string * why) {
    HMODULE library = LoadLibraryExW(path.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    if (!library && why) {
        *why = path.u8string() + " does not load: error " + std::to_string(GetLastError());
    }
    return library;
}

void * library_function(void * library, const char * name) {
    return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), name));
}

void library_close(void * library) { FreeLibrary(static_cast<HMODULE>(library)); }

} // namespace omni
