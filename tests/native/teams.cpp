// A team of threads: every piece of every step is done once, in the order of steps, whoever comes and however slow one is.
#include "check.h"

#include "kernels/team.h"

#include <chrono>
#include <thread>

namespace {

struct counted : omni::team_work {
    std::vector<int32_t> sizes;
    std::vector<std::vector<std::atomic<int>>> done;  // of each step, how often each piece was
    std::atomic<int> n_early{0}, n_slow{0};           // pieces that came before the step before was over
    int slow = -1;                                    // a thread that takes its time over a piece
    std::vector<std::atomic<int>> by;                 // pieces of each thread

    explicit counted(std::vector<int32_t> n) : sizes(std::move(n)), by(8) {
        for (int32_t size : sizes) {
            done.emplace_back(size_t(size));
        }
    }
    int32_t n_steps() const override { return int32_t(sizes.size()); }
    int32_t n_pieces(int32_t step) const override { return sizes[size_t(step)]; }
    void piece(int32_t step, int32_t piece, int thread) override {
        for (const std::atomic<int> & one : done[size_t(step == 0 ? n_steps() - 1 : step - 1)]) {
            n_early += one.load() != done[size_t(step)][size_t(piece)].load() + (step > 0);
        }
        if (thread == slow) {
            n_slow++;
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        by[size_t(thread)]++;
        done[size_t(step)][size_t(piece)]++;
    }
};

void run(omni::team & team, counted & work, int n_threads) {
    std::vector<std::thread> others;
    for (int t = 1; t < n_threads; t++) {
        others.emplace_back([&, t] { team.run(work, t, n_threads); });
    }
    team.run(work, 0, n_threads);
    for (std::thread & other : others) {
        other.join();
    }
}

} // namespace

void check::teams() {
    const int most = 5;
    for (int slow : {-1, 1, 3}) {
        counted work({1, 64, 7, 2, 129, 3, 1, 1000, 5});
        work.slow = slow;
        omni::team team;
        team.prepare(work, most);
        int n_rounds = 0;
        for (int n_threads : {5, 1, 3, 5, 2, 4}) {  // never more than were prepared for
            run(team, work, n_threads);
            n_rounds++;
            for (size_t step = 0; step < work.done.size(); step++) {
                for (size_t piece = 0; piece < work.done[step].size(); piece++) {
                    holds(work.done[step][piece] == n_rounds, "team of %d, slow %d: piece %zu of step %zu was done %d times in %d rounds",
                          n_threads, slow, piece, step, work.done[step][piece].load(), n_rounds);
                }
            }
        }
        holds(work.n_early == 0, "team: %d pieces began before the step before was over", work.n_early.load());
        holds(slow < 0 || work.n_slow < 400, "team: the slow thread did %d of its pieces, and nobody took them", work.n_slow.load());
    }
    counted alone({4096});  // each its own share, if they are as fast as each other: here nobody else comes
    omni::team team;
    team.prepare(alone, 2);
    run(team, alone, 1);
    holds(alone.by[0] == 4096 && alone.by[1] == 0, "team: one thread did %d of 4096 pieces", alone.by[0].load());
}
