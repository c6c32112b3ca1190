# PYOMNI_ADDON, after ggml: one backend, libpyomni-ggml-NAME.so, in a package of its own (pyomni/addons.py finds it).
set(library "ggml-${PYOMNI_ADDON}")
if(NOT TARGET ${library})
    message(FATAL_ERROR "PYOMNI_ADDON is '${PYOMNI_ADDON}', which is no backend of ggml's")
endif()

# Beside it lies the package with the library that it stands on, and, of CUDA's, those that NVIDIA publishes.
set(here "$ORIGIN/../pyomni/lib")
if(PYOMNI_ADDON STREQUAL cuda)
    string(APPEND here ":$ORIGIN/../nvidia/cu${CUDAToolkit_VERSION_MAJOR}/lib")
endif()
set(library_exports "${CMAKE_CURRENT_BINARY_DIR}/libraries.map")
file(CONFIGURE OUTPUT "${library_exports}" CONTENT "{ global: pyomni_*; ggml_backend_init; ggml_backend_score; local: *; };\n")
foreach(target IN ITEMS ggml-base ${library})
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME "pyomni-${target}"
        INSTALL_RPATH "${here}" BUILD_WITH_INSTALL_RPATH ON
        CUDA_VISIBILITY_PRESET hidden)
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
    target_link_options(${target} PRIVATE "LINKER:--version-script=${library_exports}" "LINKER:--as-needed")
endforeach()
target_link_options(${library} PRIVATE "LINKER:--exclude-libs,ALL" "LINKER:-s")

if(SKBUILD)
    install(TARGETS ${library} LIBRARY DESTINATION "pyomni_${PYOMNI_ADDON}")
    install(FILES LICENSE DESTINATION "${SKBUILD_METADATA_DIR}/licenses")
    install(FILES vendor/ggml/LICENSE DESTINATION "${SKBUILD_METADATA_DIR}/licenses/vendor/ggml")
endif()
