# GGML_CUDA, before ggml is added: a toolkit without cuBLAS takes the one of the Python package nvidia-cublas.
find_package(CUDAToolkit REQUIRED)
if(TARGET CUDA::cublas)
    return()
endif()
set(folder "cu${CUDAToolkit_VERSION_MAJOR}")
set(PYOMNI_NVIDIA_DIR "" CACHE PATH "The folder that Python's package nvidia.${folder} is; empty to ask Python for it")
if(NOT PYOMNI_NVIDIA_DIR)
    execute_process(
        COMMAND "${Python_EXECUTABLE}" -c
                "import importlib.util as u; print(list(u.find_spec('nvidia.${folder}').submodule_search_locations)[0], end='')"
        OUTPUT_VARIABLE PYOMNI_NVIDIA_DIR ERROR_QUIET)
endif()
set(cublas "${PYOMNI_NVIDIA_DIR}/lib/libcublas.so.${CUDAToolkit_VERSION_MAJOR}")
if(NOT EXISTS "${cublas}")
    message(FATAL_ERROR "the CUDA toolkit in ${CUDAToolkit_LIBRARY_ROOT} has no cuBLAS, and there is no '${cublas}': "
                        "install Python's nvidia-cublas, or set PYOMNI_NVIDIA_DIR")
endif()
add_library(CUDA::cublas SHARED IMPORTED)
set_target_properties(CUDA::cublas PROPERTIES
    IMPORTED_LOCATION "${cublas}"
    INTERFACE_INCLUDE_DIRECTORIES "${PYOMNI_NVIDIA_DIR}/include")
