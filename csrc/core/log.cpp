#include "core/log.h"

#include "ggml.h"

#include <mutex>

namespace omni {

static const size_t max_queued = 64 * 1024;  // bytes; the oldest are dropped
static std::mutex   log_mutex;
static std::string  log_queue;

static void log_callback(ggml_log_level level, const char * text, void *) {
    if (level == GGML_LOG_LEVEL_DEBUG) {
        return;
    }
    std::lock_guard<std::mutex> lock(log_mutex);
    log_queue += text;
    if (log_queue.size() > max_queued) {
        log_queue.erase(0, log_queue.size() - max_queued);
    }
}

void log_install() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_log_set(log_callback, nullptr); });
}

std::string log_take() {
    std::lock_guard<std::mutex> lock(log_mutex);
    std::string taken;
    taken.swap(log_queue);
    return taken;
}

} // namespace omni
