// A graph under construction. Blocks call ggml_* on g.ctx; here are the things ggml has no word for: named inputs,
// outputs and taps, and the state a session keeps between runs.
#pragma once

#include "core/loader.h"

#include "ggml.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace omni {

struct joined_rows;

enum graph_verb : int32_t {
    verb_embed,
    verb_project,
    verb_decode,
    verb_groups,
    verb_codes_to_pcm,
    verb_encode,
    verb_pcm_to_rows,
    verb_rows_to_codes,
};

// What makes two graphs of one component different: everything that shapes a node.
struct graph_key {
    graph_verb verb = verb_decode;
    int32_t n = 1;        // rows per lane, or frames
    int32_t lane0 = 0;    // the first lane and how many follow it
    int32_t n_lanes = 1;
    int32_t n_kv = 0;     // live KV rows, rounded up to whole blocks
    int32_t which = 0;    // embedding table or output head; of an encoder: 1 where the rows are one window of several
    int32_t logits = 1;   // whether the output head is wanted
    int32_t grid_h = 0;   // rows and columns of the grid that the rows are places of, where they are
    int32_t grid_w = 0;
    int32_t start = 0;    // whether a stream starts here, where that changes the number of rows
    int32_t added = 0;    // whether rows are added behind the first layers
    int32_t accept = 0;   // whether the accepted layer's rows are wanted
    int32_t each = 0;     // how many heads every row goes through, from `which` on
    int32_t joined = 0;   // whether it reads the row that another session left of each lane

    auto tied() const { return std::tie(verb, n, lane0, n_lanes, n_kv, which, logits, grid_h, grid_w, start, added, accept, each, joined); }
    bool operator<(const graph_key & o) const { return tied() < o.tied(); }
};

class graph {
  public:
    graph(const graph_key & key, size_t max_nodes, const std::vector<ggml_tensor *> & states, const std::set<std::string> & wanted,
          bool cpu, int n_threads, const joined_rows * joined = nullptr);

    const graph_key key;
    const bool cpu;                // runs on the CPU, where a block may use an op of its own in place of a chain of ggml's
    const int  n_threads;          // of the CPU
    const joined_rows * const joined;  // rows passed from session to session, where this one is joined
    ggml_context * ctx = nullptr;  // where nodes are made; owned by this graph

    ggml_tensor * input(const std::string & name, ggml_type type, int64_t ne0, int64_t ne1 = 1, int64_t ne2 = 1, int64_t ne3 = 1);
    ggml_tensor * constant(const std::string & name, const std::vector<float> & values);  // set before every run
    ggml_tensor * constant(const std::string & name, const std::vector<int32_t> & values);
    void output(const std::string & name, ggml_tensor * t);
    ggml_tensor * tap(const std::string & name, ggml_tensor * t);  // returns t

    ggml_tensor * state(state_slot slot);                // of lane key.lane0, in the shape it was declared with
    ggml_tensor * state_lanes(state_slot slot) const;    // of all lanes, the lane last
    void store(state_slot slot, ggml_tensor * t);        // copied into the state of lane key.lane0, in the graph
    bool tapped() const { return !wanted_.empty(); }     // some node between the inputs and the outputs is wanted
    void after(ggml_tensor * t);                         // computed now, in the order of these calls
    bool wants(const std::string & tap) const { return wanted_.count(tap) != 0; }
    bool wants_any() const { return !wanted_.empty(); }
    void keep(std::shared_ptr<void> p, size_t n_bytes = 0) {  // what an op of a block's own needs, as long as the graph
        kept_.push_back(std::move(p));
        kept_bytes_ += n_bytes;
    }
    size_t kept_bytes() const { return kept_bytes_; }

    ggml_cgraph * cgraph() const { return gf_; }
    const std::map<std::string, ggml_tensor *> & inputs() const { return inputs_; }
    const std::map<std::string, std::vector<char>> & constants() const { return constants_; }  // their bytes
    const std::map<std::string, ggml_tensor *> & outputs() const { return outputs_; }
    const std::map<std::string, ggml_tensor *> & taps() const { return taps_; }

  private:
    context_ptr   owned_;
    ggml_cgraph * gf_ = nullptr;
    ggml_tensor * constant(const std::string & name, ggml_type type, const void * values, size_t n);

    const std::vector<ggml_tensor *> & states_;
    const std::set<std::string> &      wanted_;
    std::map<std::string, ggml_tensor *> inputs_, outputs_, taps_;
    std::map<std::string, std::vector<char>> constants_;
    std::vector<std::shared_ptr<void>> kept_;
    size_t kept_bytes_ = 0;
};

} // namespace omni
