#include "kernels/team.h"

#include <algorithm>
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

// Of a share: 20 bits of the step, 22 of the end, 22 of the first piece. It can be taken from only while its step is open,
// no piece is in two shares, and no step comes twice before all threads have met: so what was read and has not changed may be
// written over.
static constexpr int      piece_bits = 22;
static constexpr uint64_t piece_mask = (uint64_t(1) << piece_bits) - 1;

static uint64_t packed(uint64_t step, uint64_t first, uint64_t end) { return step << 2 * piece_bits | end << piece_bits | first; }

void team::prepare(const team_work & work, int n_threads) {
    n_shares_ = n_threads;
    shares_   = std::make_unique<share[]>(size_t(n_threads));
    open(work, 0, n_threads);
}

void team::open(const team_work & work, uint32_t step, int n_threads) {
    const uint64_t n = step < uint32_t(work.n_steps()) ? uint64_t(work.n_pieces(int32_t(step))) : 0;
    for (int i = 0; i < n_shares_; i++) {  // those of threads that do not come are empty
        const uint64_t from = n * uint64_t(std::min(i, n_threads)) / uint64_t(n_threads);
        const uint64_t to   = n * uint64_t(std::min(i + 1, n_threads)) / uint64_t(n_threads);
        shares_[size_t(i)].left.store(packed(step, from, to), std::memory_order_relaxed);
    }
    open_.store(step);
}

int32_t team::take(uint32_t step, int thread) {
    std::atomic<uint64_t> & own = shares_[size_t(thread)].left;
    for (int i = 0; i < n_shares_; i++) {
        std::atomic<uint64_t> & left = shares_[size_t((thread + i) % n_shares_)].left;
        uint64_t at = left.load(std::memory_order_acquire);
        while (at >> 2 * piece_bits == step) {
            const uint64_t first = at & piece_mask, end = at >> piece_bits & piece_mask, half = end - (end - first + 1) / 2;
            if (first == end) {
                break;
            }
            if (left.compare_exchange_weak(at, i == 0 ? packed(step, first + 1, end) : packed(step, first, half), std::memory_order_acq_rel)) {
                if (i > 0) {
                    own.store(packed(step, half + 1, end), std::memory_order_release);
                }
                return int32_t(i == 0 ? first : half);
            }
        }
    }
    return -1;
}

void team::run(team_work & work, int thread, int n_threads) {
    const uint32_t n_steps = uint32_t(work.n_steps());
    const uint32_t round   = round_.load(std::memory_order_acquire);
    for (;;) {
        const uint32_t step = open_.load(std::memory_order_acquire);
        if (step >= n_steps) {
            break;
        }
        const int32_t piece = take(step, thread);
        if (piece < 0) {
            wait([&] { return open_.load() != step; });
            continue;
        }
        work.piece(int32_t(step), piece, thread);
        if (n_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == work.n_pieces(int32_t(step))) {  // the last: open the next step
            n_done_.store(0, std::memory_order_relaxed);
            open(work, step + 1, n_threads);
            wake();
        }
    }
    if (n_left_.fetch_add(1, std::memory_order_acq_rel) + 1 < n_threads) {
        wait([&] { return round_.load() != round; });
        return;
    }
    n_left_.store(0, std::memory_order_relaxed);
    open(work, 0, n_threads);
    round_.store(round + 1);
    wake();
}

} // namespace omni
