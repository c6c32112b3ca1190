// A decoder stack over few rows, with what stands before and behind it, as one node of a graph. As hundreds of nodes the
// threads would meet behind each; here they share pieces of work (kernels/team.h) and the weights stream through once
// for all rows. On the CPU only; the chain of ggml's nodes remains for all that is not covered, and is its twin in tests.
#pragma once

#include "blocks/stack.h"
#include "kernels/matvec.h"
#include "kernels/team.h"

#include <atomic>
#include <memory>
#include <vector>

namespace omni {

// What stands around the stack.
struct stack_ends {
    ggml_tensor * norm   = nullptr;   // F32 [n_embd], before a head
    ggml_tensor * proj   = nullptr;   // [n_in, n_embd] and its bias, before the first layer; nullptr: rows come as they are
    ggml_tensor * proj_b = nullptr;
};

// A chain of passes whose draws feed the next one: two rows for each lane first, then one each.
struct stack_chain {
    ggml_tensor * table0 = nullptr;              // [n_in, n_vocab0], of the id given
    std::vector<ggml_tensor *> heads, tables;    // of each pass: [n_embd, n_vocab], and of the id drawn [n_in, n_vocab]
};

class stack_node : public team_work {
  public:
    // Whether this graph's rows, n for each lane, can go this way with these matrices.
    static bool covers(const graph & g, const stack & blocks, const std::vector<ggml_tensor *> & matrices, int64_t n);

    // x [n_in, n * n_lanes] -> outputs hidden [n_embd, n_lanes], normed, with a head logits [n_vocab, n_lanes], and with
    // heads for every row each [n_vocab, n_heads, n * n_lanes].
    static void decode(graph & g, const stack & blocks, const stack_ends & ends, ggml_tensor * x, const kv_inputs & in,
                       ggml_tensor * head, const std::vector<ggml_tensor *> & each = {});

    // first [n_in, 1, n_lanes] and id0 I32 [n_lanes], uniforms and params as for a draw -> ids I32 [n_lanes, n_passes]
    // and the sum of all rows looked up [n_in, n_lanes]. In lanes 0 to n_lanes - 1 of the cache, from its beginning.
    static void chain(graph & g, const stack & blocks, const stack_ends & ends, const stack_chain & chain, ggml_tensor * first,
                      ggml_tensor * id0, ggml_tensor * uniforms, ggml_tensor * params, ggml_tensor ** ids, ggml_tensor ** sum);

    int32_t n_steps() const override { return int32_t(steps_.size()); }
    int32_t n_pieces(int32_t step) const override { return steps_[size_t(step)].n_pieces; }
    void    piece(int32_t step, int32_t piece, int thread) override;

  private:
    enum stage { stage_load, stage_proj, stage_qkv, stage_attend, stage_out, stage_gate, stage_down, stage_head, stage_draw, stage_each };

    struct product {  // a matrix, cut into pieces of rows
        product() = default;
        explicit product(const ggml_tensor * w);
        void multiply(int64_t r0, int64_t r1, const char * x, size_t x_stride, int64_t n_x, float * y, int64_t y_stride) const;
        size_t ready_bytes() const { return (kernel.ready_bytes(kernel.type, n_in) + 63) / 64 * 64; }

        matvec       kernel{};
        const char * data   = nullptr;
        size_t       stride = 0;
        int64_t      n_in = 0, n_out = 0, rows = 0;
        int32_t      n_pieces = 0;
    };

    struct layer_products { product q, k, v, o, gate, up, down; };

    struct step {
        stage   what;
        int32_t layer, pass, n_pieces;
    };

    struct pass {
        int64_t n = 0, at = -1;  // rows for each lane, and the place of the first; -1: as the inputs say
        product head;
        std::vector<product> each;  // heads that every row goes through
    };

    struct row_place { int64_t lane, at, seen; int32_t position; };

    struct thread_memory {
        std::vector<float> normed, turns, queries, scores, local;
        std::vector<char>  forms, ready;   // rows of x as up to three kernels want them; of queries and weights of values
        int64_t prepared[3] = {-1, -1, -1}, turned = -1, serial = 0;
    };

    stack_node(graph & g, const stack & blocks, const stack_ends & ends, int64_t n);
    void add_pass(const ggml_tensor * head, int64_t n, int64_t at, bool draws);
    void reserve(int n_threads);
    static void compute(ggml_tensor * dst, int thread, int n_threads, void * self);
    static void copy_sum(ggml_tensor * dst, int thread, int n_threads, void * self);

    const char * prepare(int32_t step, int thread, int slot, const product & p, const float * x, int64_t x_stride, int64_t n_rows,
                         const float * norm);
    const float * turns(const step & s, int thread);
    row_place place(const pass & p, int64_t row) const;
    void load(int64_t lane_or_row);
    void project(int32_t step, int32_t piece, int thread);
    void qkv(int32_t step, int32_t piece, int thread);
    void attend(const step & s, int32_t piece, int thread);
    void attend_row(const step & s, int64_t row, int64_t head_kv, thread_memory & m);
    void add_product(int32_t step, int32_t piece, int thread, const product & p, const float * x);
    void gate(int32_t step, int32_t piece, int thread);
    void head(int32_t step, int32_t piece, int thread);
    void each_row(int32_t step, int32_t piece, int thread);
    void draw_lane(const step & s, int64_t lane);
    void look_up(const ggml_tensor * table, int32_t id, float * out) const;

    const stack & blocks_;
    const stack_hparams & hp_;
    stack_ends  ends_;
    stack_chain chain_;
    int64_t     n_lanes_, n_in_, n_rows_max_, n_context_ = 0;
    product     proj_;
    std::vector<layer_products> layers_;
    std::vector<ggml_tensor *>  keys_, values_;
    matvec      of_keys_{}, of_values_{};
    std::vector<pass>   passes_;
    std::vector<step>   steps_;
    std::vector<float>  periods_;
    std::vector<float>  in_, x_, q_, k_, v_, y_, h_, logits_, sum_;   // [n_rows][..]
    std::vector<thread_memory> memory_;
    size_t      form_bytes_ = 0, ready_bytes_ = 0;
    ggml_tensor *dst_ = nullptr;
    team        team_;
};

} // namespace omni
