# PYOMNI_WHEEL, after ggml and the module: libpyomni-ggml*.so in lib/ beside the module, found from there only.
get_property(libraries DIRECTORY vendor/ggml/src PROPERTY BUILDSYSTEM_TARGETS)
list(FILTER libraries INCLUDE REGEX "^ggml")
list(FILTER libraries EXCLUDE REGEX "-feats$")

# Those that PYOMNI_CPU_VARIANTS leaves out are still targets of ggml's, of an empty file, and are not installed.
if(PYOMNI_CPU_VARIANTS)
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/empty.c" CONTENT "typedef int empty;\n")
    foreach(library IN LISTS libraries)
        string(REGEX REPLACE "^ggml-cpu-" "" variant "${library}")
        if(library MATCHES "^ggml-cpu-" AND NOT variant IN_LIST PYOMNI_CPU_VARIANTS)
            set_target_properties(${library} ${library}-feats PROPERTIES SOURCES "${CMAKE_CURRENT_BINARY_DIR}/empty.c")
            list(REMOVE_ITEM libraries ${library})
        endif()
    endforeach()
    foreach(variant IN LISTS PYOMNI_CPU_VARIANTS)
        if(NOT TARGET ggml-cpu-${variant})
            message(FATAL_ERROR "PYOMNI_CPU_VARIANTS has '${variant}', which ggml does not have for ${CMAKE_SYSTEM_PROCESSOR}")
        endif()
    endforeach()
endif()

if(APPLE)
    set(here "@loader_path")
else()
    set(here "$ORIGIN")
    set(library_exports "${CMAKE_CURRENT_BINARY_DIR}/libraries.map")
    file(CONFIGURE OUTPUT "${library_exports}"
         CONTENT "{ global: pyomni_*; ggml_backend_init; ggml_backend_score; local: *; };\n")
endif()

foreach(library IN LISTS libraries)
    set_target_properties(${library} PROPERTIES
        OUTPUT_NAME "pyomni-${library}"
        INSTALL_RPATH "${here}" BUILD_WITH_INSTALL_RPATH ON)
    set_property(TARGET ${library} PROPERTY VERSION)    # no links with a number: a wheel cannot hold links
    set_property(TARGET ${library} PROPERTY SOVERSION)
    if(library_exports)
        target_link_options(${library} PRIVATE "LINKER:--version-script=${library_exports}")
    endif()
    if(NOT SKBUILD)
        set_target_properties(${library} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PYOMNI_MODULE_DIR}/lib")
    endif()
    # What CMakeLists.txt says of AMX: the -mamx-... of a variant would come after its -mno-amx-...
    if(PYOMNI_NO_AMX)
        get_target_property(options ${library} COMPILE_OPTIONS)
        list(FILTER options EXCLUDE REGEX "^-mamx")
        set_target_properties(${library} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
endforeach()

set_target_properties(_native PROPERTIES INSTALL_RPATH "${here}/lib" BUILD_WITH_INSTALL_RPATH ON)
if(SKBUILD)
    install(TARGETS ${libraries} LIBRARY DESTINATION pyomni/lib)
endif()
