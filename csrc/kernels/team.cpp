#include "kernels/team.h"

#include <chrono>
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace omni {

// Longer than a piece takes, shorter than what a lost core costs.
static constexpr auto spin_for = std::chrono::microseconds(40);

static void relax() {
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

template <typename F> void team::wait(const F & over) {
    const auto end = std::chrono::steady_clock::now() + spin_for;
    do {
        for (int i = 0; i < 16; i++) {
            if (over()) {
                return;
            }
            relax();
        }
    } while (std::chrono::steady_clock::now() < end);
    std::unique_lock<std::mutex> lock(mutex_);
    n_asleep_.fetch_add(1);  // before the last look: who changes something after it sees a sleeper
    woken_.wait(lock, over);
    n_asleep_.fetch_sub(1);
}

void team::wake() {
    if (n_asleep_.load() > 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        woken_.notify_all();
    }
}

void team::run(team_work & work, int thread, int n_threads) {
    const uint32_t n_steps = uint32_t(work.n_steps());
    const uint32_t round   = round_.load(std::memory_order_acquire);
    for (;;) {
        uint64_t taken = next_.fetch_add(1, std::memory_order_acq_rel);
        const uint32_t step = uint32_t(taken >> 32);
        if (step >= n_steps) {
            break;
        }
        const uint32_t n = uint32_t(work.n_pieces(int32_t(step)));
        if (uint32_t(taken) >= n) {
            wait([&] { return uint32_t(next_.load() >> 32) != step; });
            continue;
        }
        work.piece(int32_t(step), int32_t(uint32_t(taken)), thread);
        if (n_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == int32_t(n)) {  // the last: open the next step
            n_done_.store(0, std::memory_order_relaxed);
            next_.store(uint64_t(step + 1) << 32);
            wake();
        }
    }
    if (n_left_.fetch_add(1, std::memory_order_acq_rel) + 1 < n_threads) {
        wait([&] { return round_.load() != round; });
        return;
    }
    n_left_.store(0, std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    round_.store(round + 1);
    wake();
}

} // namespace omni
