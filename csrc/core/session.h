// A session: the state of its lanes, and the graphs that were built for it, kept by key and run again.
#pragma once

#include "core/graph.h"
#include "core/joined.h"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace omni {

constexpr int64_t kv_block = 64;  // KV rows are read in whole blocks, so a longer cache never changes a sum's order

inline int64_t kv_round_up(int64_t n) { return (n + kv_block - 1) / kv_block * kv_block; }

struct feed {  // one named input: bytes to copy in
    const char * name;
    const void * data;
    size_t       bytes;
};

struct fetch {  // one named output: bytes to copy out
    const char * name;
    void *       data;
    size_t       bytes;
    bool         optional = false;  // left alone where this graph has no such output
};

struct memory_free {
    void operator()(void * p) const { free(p); }
};

struct graph_builder {
    std::function<size_t(const graph_key &)> max_nodes;
    std::function<void(graph &)>             build;
    size_t max_graphs = 32;  // kept per session; the one unused longest makes room
    size_t max_bytes  = size_t(256) << 20;  // and this for working memory, where more than one graph is kept
};

class session {
  public:
    session(std::shared_ptr<const weights> w, graph_builder builder, int64_t n_ctx, int64_t n_lanes, ggml_type kv_type = GGML_TYPE_F32);
    ~session();

    void run(const graph_key & key, const std::vector<feed> & in, const std::vector<fetch> & out);

    int64_t n_ctx() const { return n_ctx_; }
    int64_t n_ctx_padded() const { return kv_round_up(n_ctx_ + 1); }  // one row more: idle lanes write there
    int64_t n_lanes() const { return int64_t(n_past_.size()); }
    int64_t n_past(int64_t lane) const { return n_past_[size_t(lane)]; }
    void    advance(int64_t lane, int64_t n) { n_past_[size_t(lane)] += n; }
    void    rewind(int64_t lane, int64_t n_past);  // streams only to 0
    void    check_lane(int64_t lane) const;
    int64_t save(int64_t lane, void * out, int64_t n_max) const;  // the bytes it takes; written where they fit (snapshot.cpp)
    void    load(int64_t lane, const void * in, int64_t n);

    bool    on_cpu() const { return weights_->device()->is_cpu(); }
    const std::shared_ptr<omni::device> & device() const { return weights_->device(); }
    void    join(std::shared_ptr<const joined_rows> rows);  // passed to and from another session from now on
    const std::shared_ptr<const joined_rows> & joined() const { return joined_; }
    void    want_tap(const std::string & name);
    bool    wants(const std::string & tap) const { return wanted_.count(tap) != 0; }
    int64_t read_tap(const std::string & name, float * out, int64_t n_max) const;
    void    keep_tap(const std::string & name, const std::vector<float> & whole);  // what a call put together from several runs

    void cancel() { cancelled_ = true; }

    // Held for the length of a call: a second caller is told so, and a session that failed half way refuses work.
    class use {
      public:
        explicit use(session & s, bool repairing = false);
        ~use();
      private:
        session & s_;
    };

  private:
    struct built;
    built & get(const graph_key & key);
    void reserve_host_state(const omni::device & d);
    void make_room(size_t n_graphs, size_t n_bytes);
    uint64_t fingerprint(ggml_type kv_type) const;  // of the weights and of how a lane is kept
    static bool aborted(void * self);

    std::shared_ptr<const weights> weights_;
    graph_builder                  builder_;
    int64_t                        n_ctx_;
    int                            n_threads_ = 1;
    int                            n_used_ = 1;    // in the latest run
    std::vector<int64_t>           n_past_;
    std::vector<bool>              broken_;  // lanes whose state a failed run may have half written
    std::vector<backend_ptr>       backends_;
    context_ptr                    state_ctx_;
    std::unique_ptr<void, memory_free> state_memory_;  // of the buffer, where the CPU is the device
    buffer_ptr                     state_buffer_;
    std::vector<ggml_tensor *>     states_;
    std::vector<state_spec>        specs_;   // their shapes; the values of a quantised KV cache lie row by row
    ggml_type                      kv_type_;
    bool                           has_stream_ = false;
    std::shared_ptr<const joined_rows> joined_;
    std::set<std::string>          wanted_;
    std::map<std::string, std::vector<float>> kept_;
    std::map<graph_key, std::unique_ptr<built>> graphs_;
    uint64_t                       clock_ = 0;
    const built *                  last_ = nullptr;
    std::atomic<bool>              cancelled_{false};
    std::atomic_flag               busy_ = ATOMIC_FLAG_INIT;
};

} // namespace omni
