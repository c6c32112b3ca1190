// What Windows calls things. For *_windows.cpp alone: its header has macros named as other people's functions.
#pragma once

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <string>

namespace omni {

// A name in UTF-8 as the system takes it; empty where it is not UTF-8.
inline std::wstring wide(const std::string & text) {
    const int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), int(text.size()), nullptr, 0);
    std::wstring name(size_t(n), L'\0');
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text.data(), int(text.size()), &name[0], n);
    return name;
}

} // namespace omni
