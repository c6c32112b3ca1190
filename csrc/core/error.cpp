#include "core/error.h"

#include <cstdarg>

namespace omni {

static std::string vtext(const char * format, va_list args) {
    char buffer[1024];
    vsnprintf(buffer, sizeof(buffer), format, args);
    return buffer;
}

std::string text_of(const char * format, ...) {
    va_list args;
    va_start(args, format);
    std::string text = vtext(format, args);
    va_end(args);
    return text;
}

void fail(omni_status status, const char * format, ...) {
    va_list args;
    va_start(args, format);
    std::string text = vtext(format, args);
    va_end(args);
    throw failure(status, text);
}

static thread_local int depth = 0;

guard::guard() { depth++; }
guard::~guard() { depth--; }
bool inside_guarded() { return depth > 0; }

omni_status report(omni_error * err, omni_status status, const char * text) {
    if (err) {
        err->status = status;
        snprintf(err->message, sizeof(err->message), "%s", text);
        for (char * c = err->message; *c; c++) {  // a name in a stranger's file may hold what a terminal obeys
            *c = static_cast<unsigned char>(*c) < 0x20 || *c == 0x7f ? '?' : *c;
        }
    }
    return status;
}

} // namespace omni
