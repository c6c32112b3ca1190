#include "core/backends.h"

#include "core/error.h"
#include "core/library.h"
#include "core/log.h"

#include <cstring>
#if defined(GGML_BACKEND_DL)
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>
#endif

namespace omni {

#if defined(GGML_BACKEND_DL)

namespace fs = std::filesystem;

// ggml's names carry a prefix in a wheel (cmake/own_names.py), by macros, so a name must be expanded before it is text.
#define OMNI_TEXT(name) #name
#define OMNI_NAME(name) OMNI_TEXT(name)

namespace {

const std::string prefix = library_prefix, suffix = library_suffix;

struct variant {
    std::string name;
    int         score;  // 0: not for this CPU
};

struct loaded {
    std::string name;
    bool        forced = false;
    decltype(&ggml_get_type_traits_cpu) traits = nullptr;
};

fs::path folder() {
    const fs::path module = module_folder();
    if (module.empty()) {
        fail(OMNI_ERROR_INTERNAL, "the path of the compiled module is not known, so its libraries cannot be found");
    }
    return module / "lib";
}

// What lies between prefix and suffix in the names of the folder's libraries, sorted: "base", "cpu-haswell", "cuda".
std::vector<std::string> libraries(const fs::path & dir) {
    std::vector<std::string> names;
    std::error_code ec;
    for (const auto & entry : fs::directory_iterator(dir, ec)) {
        const std::string file = entry.path().filename().string();
        if (file.size() > prefix.size() + suffix.size() && file.compare(0, prefix.size(), prefix) == 0 &&
            file.compare(file.size() - suffix.size(), suffix.size(), suffix) == 0) {
            names.push_back(file.substr(prefix.size(), file.size() - prefix.size() - suffix.size()));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

// A variant's score is a function compiled for any CPU: it says 0 where the rest of the library would not run.
int score_of(const fs::path & path) {
    void * library = library_open(path);
    if (!library) {
        return 0;
    }
    auto score = reinterpret_cast<int (*)()>(library_function(library, "ggml_backend_score"));
    const int found = score ? score() : 1;
    library_close(library);
    return found;
}

std::string joined(const std::vector<variant> & variants) {
    std::string names;
    for (const variant & v : variants) {
        if (v.score > 0) {
            names += (names.empty() ? "" : ", ") + v.name;
        }
    }
    return names.empty() ? "none" : names;
}

loaded load() {
    log_install();
    const fs::path dir = folder();
    std::vector<variant> variants;
    for (const std::string & name : libraries(dir)) {
        const fs::path path = dir / (prefix + name + suffix);
        if (name.compare(0, 4, "cpu-") == 0) {
            variants.push_back({name.substr(4), score_of(path)});
        }
    }
    const char * asked = std::getenv("PYOMNI_CPU_VARIANT");
    const variant * best = nullptr;
    loaded l;
    for (const variant & v : variants) {
        if (asked && v.name == asked) {
            best     = &v;
            l.forced = true;
            break;
        }
        if (v.score > (best ? best->score : 0)) {
            best = &v;
        }
    }
    if (!best) {
        fail(OMNI_ERROR_UNSUPPORTED, "'%s' has no library that runs on this CPU, expected one named %scpu-...%s", dir.u8string().c_str(),
             prefix.c_str(), suffix.c_str());
    }
    if (best->score <= 0) {
        fail(OMNI_ERROR_UNSUPPORTED, "PYOMNI_CPU_VARIANT is '%s', which this CPU does not run; those that it runs: %s", asked,
             joined(variants).c_str());
    }
    l.name = best->name;
    const fs::path path = dir / (prefix + "cpu-" + l.name + suffix);
    void * library = ggml_backend_load(path.u8string().c_str()) ? library_open(path) : nullptr;
    if (!library) {
        fail(OMNI_ERROR_INTERNAL, "'%s' could not be loaded", path.u8string().c_str());
    }
    const char * traits = OMNI_NAME(ggml_get_type_traits_cpu);
    l.traits = reinterpret_cast<decltype(l.traits)>(library_function(library, traits));
    if (!l.traits) {
        fail(OMNI_ERROR_INTERNAL, "'%s' has no function '%s'", path.u8string().c_str(), traits);
    }
    return l;
}

const loaded & library() {
    static const loaded l = load();
    return l;
}

} // namespace

void backends_load() { library(); }

void addon_load(const std::string & path) {
    backends_load();
    std::string why;
    void * library = library_open(fs::u8path(path), &why);  // ggml keeps the reason to its log
    if (!library) {
        fail(OMNI_ERROR_UNSUPPORTED, "%s", why.c_str());
    }
    const bool taken = ggml_backend_load(path.c_str());
    library_close(library);
    if (!taken) {
        fail(OMNI_ERROR_UNSUPPORTED, "%s: its driver does not answer", path.c_str());
    }
}

const std::string & cpu_library() { return library().name; }
bool cpu_library_forced() { return library().forced; }
const ggml_type_traits_cpu & cpu_traits(ggml_type type) { return *library().traits(type); }

#else

void backends_load() { log_install(); }

void addon_load(const std::string & path) {
    fail(OMNI_ERROR_UNSUPPORTED, "%s: this pyomni was compiled with its backends in it, expected one from a wheel", path.c_str());
}

const std::string & cpu_library() {
    static const std::string none;
    return none;
}

bool cpu_library_forced() { return false; }
const ggml_type_traits_cpu & cpu_traits(ggml_type type) { return *ggml_get_type_traits_cpu(type); }

#endif

const ggml_backend_feature * cpu_features() {
    backends_load();
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t reg = cpu ? ggml_backend_dev_backend_reg(cpu) : nullptr;
    void * f = reg ? ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features") : nullptr;
    return f ? reinterpret_cast<ggml_backend_get_features_t>(f)(reg) : nullptr;  // a backend need not have it
}

bool cpu_feature(const char * name) {
    for (const ggml_backend_feature * f = cpu_features(); f && f->name; f++) {
        if (std::strcmp(f->name, name) == 0) {
            return true;
        }
    }
    return false;
}

} // namespace omni
