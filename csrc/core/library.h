// Shared libraries, as the system has them.
#pragma once

#include <filesystem>
#include <string>

namespace omni {

extern const char * const library_prefix;  // of the names of ours, in a wheel
extern const char * const library_suffix;

std::filesystem::path module_folder();  // where the library lies that this code is in; empty if the system does not say

// nullptr where it does not load; `why` is then what the system says.
void * library_open(const std::filesystem::path & path, std::string * why = nullptr);
void * library_function(void * library, const char * name);
void   library_close(void * library);

} // namespace omni
