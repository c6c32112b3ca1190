# PYOMNI_WHEEL, before ggml is added: ggml as shared libraries, one of its CPU backend for each kind of CPU.
set(BUILD_SHARED_LIBS ON)
set(GGML_NATIVE OFF)
set(GGML_BACKEND_DL ON)
set(GGML_CPU_ALL_VARIANTS ON)

# ggml's exported functions get names of our own: cmake/own_names.py tells why.
set(own_names "${CMAKE_CURRENT_BINARY_DIR}/own_names.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS cmake/own_names.py)
execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/cmake/own_names.py" "${own_names}.new"
    COMMAND_ERROR_IS_FATAL ANY)
file(COPY_FILE "${own_names}.new" "${own_names}" ONLY_IF_DIFFERENT)
add_compile_options("SHELL:-include ${own_names}")

# No path of the machine that builds is in what it builds: the same bytes from any folder.
foreach(map IN ITEMS "${CMAKE_CURRENT_BINARY_DIR}=build" "${CMAKE_CURRENT_SOURCE_DIR}=.")
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${map}>"
                        "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffile-prefix-map=${map}>")
endforeach()
