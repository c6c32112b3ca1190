# Cross-compiling for Windows with mingw-w64, which shows that the port builds and, where Wine is, that it runs
# (.ci/windows.sh). Wheels are built on Windows itself.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # so that the program needs no libraries of the compiler's beside it
# ggml-cpu.c asks for Windows 8 and then uses a structure of Windows 10's that mingw-w64 10 lacks
set(CMAKE_C_FLAGS_INIT "-U_WIN32_WINNT -D_WIN32_WINNT=0x0601")
