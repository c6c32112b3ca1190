#include "core/library.h"

#include <dlfcn.h>

namespace omni {

const char * const library_prefix = "libpyomni-ggml-";
const char * const library_suffix = ".so";

std::filesystem::path module_folder() {
    Dl_info info{};
    const bool known = dladdr(reinterpret_cast<const void *>(&module_folder), &info) && info.dli_fname;
    return known ? std::filesystem::absolute(info.dli_fname).parent_path() : std::filesystem::path();
}

void * library_open(const std::filesystem::path & path, std::string * why) {
    void * library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library && why) {
        const char * words = dlerror();
        *why = words ? words : path.string() + " does not load";
    }
    return library;
}

void * library_function(void * library, const char * name) { return dlsym(library, name); }
void   library_close(void * library) { dlclose(library); }

} // namespace omni
