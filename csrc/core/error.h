// Failure is a status and a sentence. Everything below api.cpp throws `failure`; only `guarded` catches.
#pragma once

#include "omni.h"

#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace omni {

struct failure final : std::runtime_error {
    failure(omni_status status, const std::string & text) : std::runtime_error(text), status(status) {}
    omni_status status;
};

#if defined(__GNUC__)
#define OMNI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define OMNI_PRINTF(text, first)
#endif

std::string text_of(const char * format, ...) OMNI_PRINTF(1, 2);
[[noreturn]] void fail(omni_status status, const char * format, ...) OMNI_PRINTF(2, 3);

omni_status report(omni_error * err, omni_status status, const char * text);

// Counts the calls of `guarded` that this thread is inside of.
struct guard {
    guard();
    ~guard();
};
bool inside_guarded();

// Runs f and turns whatever it throws into a status and a sentence.
template <typename F> omni_status guarded(omni_error * err, F && f) {
    const guard inside;
    try {
        f();
        return OMNI_OK;
    } catch (const failure & e) {
        return report(err, e.status, e.what());
    } catch (const std::bad_alloc &) {
        return report(err, OMNI_ERROR_MEMORY, "the host ran out of memory");
    } catch (const std::exception & e) {
        return report(err, OMNI_ERROR_INTERNAL, e.what());
    } catch (...) {
        return report(err, OMNI_ERROR_INTERNAL, "an unknown exception was thrown");
    }
}

} // namespace omni
