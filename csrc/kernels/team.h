// The threads that ggml gives one node, working through a list of steps. A step is cut into pieces, and each thread has a
// share of them, side by side: what one piece fetches ahead the next one reads. Who is through with its own takes the far
// half of what another has left. A step is over when its pieces are done, not when all threads have come by: one that lost its core
// while it held no piece holds nobody up. Whoever has nothing to do spins for some microseconds and then sleeps.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace omni {

struct team_work {
    virtual ~team_work() = default;
    virtual int32_t n_steps() const = 0;
    virtual int32_t n_pieces(int32_t step) const = 0;                       // at least 1
    virtual void piece(int32_t step, int32_t piece, int thread) = 0;        // must not throw
};

class team {
  public:
    void prepare(const team_work & work, int n_threads);  // before the first run; n_threads at most will come

    // Called by each of n_threads threads; returns when all steps are done and all of them are here, ready for the next.
    void run(team_work & work, int thread, int n_threads);

  private:
    struct alignas(64) share {
        std::atomic<uint64_t> left{0};  // the step, the end of what is left of it, and its first piece
    };

    void open(const team_work & work, uint32_t step, int n_threads);
    int32_t take(uint32_t step, int thread);          // -1: nothing is left of the step
    template <typename F> void wait(const F & over);  // until it says so
    void wake();                                      // after a change that somebody may wait for

    std::unique_ptr<share[]> shares_;
    int                   n_shares_ = 0;
    std::atomic<uint32_t> open_{0};     // the step that is open
    std::atomic<int32_t>  n_done_{0};   // of its pieces
    std::atomic<int32_t>  n_left_{0};   // threads that are through with the list
    std::atomic<uint32_t> round_{0};    // lists worked through
    std::atomic<int32_t>  n_asleep_{0};
    std::mutex              mutex_;
    std::condition_variable woken_;
};

} // namespace omni
