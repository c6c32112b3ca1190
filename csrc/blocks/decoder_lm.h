// A decoder stack between its input rows and one output head.
#pragma once

#include "blocks/stack.h"
#include "omni.h"

namespace omni {

struct decoder_lm {
    decoder_lm(const loader & l, const stack_hparams & hp, const std::string & head_name, int64_t n_vocab);

    // A decode: inputs embeds [n_embd, n * n_lanes], those of the stack, and with key.added n_added times added.{i} like
    // embeds. Outputs hidden [n_embd, n_lanes] and, if wanted, logits [n_vocab, n_lanes] of each lane's last position, and
    // with key.accept the rows behind accept_layer layers, accept [n_embd, n * n_lanes].
    // With key.joined (of one row a lane) the sums of the frames are added to embeds; of a joined session hidden is left to the other.
    void build(graph & g, int64_t n_added = 0, int64_t accept_layer = 0) const;
    size_t max_nodes() const { return blocks.max_nodes(); }
    omni_info info() const;  // what the stack and the head know of it

    stack_hparams hp;
    stack         blocks;
    int64_t       n_vocab;
    ggml_tensor  *norm, *head;

  private:
    void decode(graph & g, int64_t n_added, int64_t accept_layer) const;
};

// fc2(silu(fc1(x))), each with a bias; not gated. Row by row, so that rows given in pieces come out as they would whole.
struct projection {
    projection(const loader & l, int64_t n_in, int64_t n_ff, int64_t n_out);

    ggml_tensor * build(graph & g, ggml_tensor * x) const;  // [n_in, n] -> [n_out, n]

    ggml_tensor *fc1, *fc1_b, *fc2, *fc2_b;
};

} // namespace omni
