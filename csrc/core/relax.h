/* Compiled into ggml's CPU backend ahead of its own source (see CMakeLists.txt): what its threads do while they wait.
 *
 * ggml's barriers spin without end. When another process takes one of the cores, the thread it displaced holds up all
 * the others for a whole time slice at every barrier, and there are thousands of barriers per frame. Here a thread
 * spins for a bounded time, which is all a barrier needs when every thread has a core, and then sleeps in short naps:
 * its core falls idle, and the displaced thread is moved there. */
#pragma once

#if defined(__linux__) && defined(__x86_64__) && !defined(__cplusplus)
#include <immintrin.h>
#include <time.h>
#include <x86intrin.h>

static inline void omni_relax(void) {
    enum { spin_limit = 400000, gap_limit = 10000 };  /* time stamp ticks: about 0.1 ms, and a pause between two waits */
    static __thread unsigned long long began, last;
    const unsigned long long now = __rdtsc();
    if (now - last > gap_limit) {
        began = now;  /* a new wait */
    }
    if (now - began > spin_limit) {
        const struct timespec nap = {0, 20000};
        nanosleep(&nap, 0);
        last = __rdtsc();
        return;
    }
    __builtin_ia32_pause();
    last = now;
}
#define _mm_pause omni_relax
#endif
