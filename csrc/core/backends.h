// The backends of ggml in this build: linked in, or, in a wheel, libraries in lib/ beside this module. Those are read from
// there only: ggml's own search includes the working directory, and the system may hold another ggml.
#pragma once

#include "ggml-backend.h"
#include "ggml-cpu.h"

#include <string>

namespace omni {

// Once, before anything else of ggml's is asked for. Fails, again at each call, where $PYOMNI_CPU_VARIANT names a library
// for another CPU than this one.
void backends_load();

// One backend more, of an add-on wheel: the library at a path. Fails with the reason where it does not load, and where the
// backends are linked in, which no library fits.
void addon_load(const std::string & path);

// The CPU variant that was loaded, such as "haswell"; empty where the backend is linked in.
const std::string & cpu_library();
bool cpu_library_forced();  // by $PYOMNI_CPU_VARIANT

// Those that the CPU backend was compiled for, up to one without a name; NULL where it does not say.
const ggml_backend_feature * cpu_features();
bool cpu_feature(const char * name);

// ggml_get_type_traits_cpu of the CPU backend, which its registry does not hand out.
const ggml_type_traits_cpu & cpu_traits(ggml_type type);

} // namespace omni
