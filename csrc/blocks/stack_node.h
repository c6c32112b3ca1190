// A decoder stack, with what stands before and behind it, as one node of a graph. As hundreds of nodes the threads would
// meet behind each; here they share pieces of work (kernels/team.h) and the weights stream through once for all rows. Few
// rows go with any weights, and any number of them with weights whose products do not depend on it (kernels/panel.h); with
// experts, few rows only. On the CPU only; the chain of ggml's nodes remains for all that is not covered, and is its twin in tests.
#pragma once

#include "blocks/cpu_product.h"
#include "blocks/stack.h"
#include "kernels/team.h"

#include <algorithm>
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
    static constexpr int64_t own_rows = 8;      // up to so many, each thread makes the forms of rows for itself
    static constexpr int64_t rows_at_once = 8;  // of a pass with more: in a piece of making forms, and of attention
    static constexpr int64_t keys_at_once = 64, values_at_once = 8;

    enum stage { stage_load, stage_form, stage_proj, stage_qkv, stage_keep, stage_attend, stage_out, stage_gate, stage_down, stage_route, stage_choose, stage_experts, stage_mix, stage_head, stage_draw, stage_each };

    struct layer_products {
        cpu_product q, k, v, o, gate, up, down;         // with experts, these of the one that every row takes, if any
        cpu_product router, open;                       // open: how much of that one a row takes
        cpu_product expert_gate, expert_up, expert_down;  // of the first expert
    };

    struct choice {          // of a row
        int32_t expert;
        float   weight;
    };

    struct step {
        stage   what;
        int32_t layer, pass, n_pieces;
    };

    struct pass {
        int64_t n = 0, at = -1;  // rows for each lane, and the place of the first; -1: as the inputs say
        bool    many = false;    // so many that threads share the forms of rows, and a step each makes them
        cpu_product head;
        std::vector<cpu_product> each;  // heads that every row goes through
    };

    struct form_source {         // what a step multiplies with: rows, and who wants them, by slot
        const float *   x;
        const float *   norm;
        const cpu_product * wanted[3];
    };

    struct row_place { int64_t lane, at, seen; int32_t position; };

    struct thread_memory {
        std::vector<float> normed, turns, queries, scores, looked, local;
        std::vector<char>  forms, ready;   // rows of x as up to three kernels want them; of queries and weights of values
        int64_t prepared[3] = {-1, -1, -1}, turned = -1, serial = 0;
    };

    stack_node(graph & g, const stack & blocks, const stack_ends & ends, int64_t n);
    void add_pass(const ggml_tensor * head, int64_t n, int64_t at, bool draws);
    void reserve(int n_threads);
    static char * aligned(std::vector<char> & v) { return reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(v.data()) + 63) / 64 * 64); }
    static const float * floats(const ggml_tensor * t) { return static_cast<const float *>(t->data); }
    size_t n_bytes() const;
    static void compute(ggml_tensor * dst, int thread, int n_threads, void * self);
    static void copy_sum(ggml_tensor * dst, int thread, int n_threads, void * self);

    // Of experts many rows go through ggml's nodes, and few must come out as they would there.
    cpu_product of(const ggml_tensor * w) const { return cpu_product(w, n_used_ > 0); }
    int64_t n_rows(const pass & p) const { return p.n * n_lanes_; }
    int64_t n_forms(int64_t n_rows) const { return n_rows * std::max<int64_t>(1, n_used_); }  // in a slot
    const char * prepare(int32_t step, int thread, int slot, const cpu_product & p, const float * x, int64_t x_stride, int64_t n_rows,
                         const float * norm);
    void make_forms(const cpu_product & p, const float * x, int64_t x_stride, int64_t n_rows, const float * norm, thread_memory & m, char * to);
    form_source source(const step & s) const;
    void form(int32_t step, int32_t piece, int thread);
    const float * turns(const step & s, int thread);
    row_place place(const pass & p, int64_t row) const;
    void load(int64_t lane_or_row);
    void project(int32_t step, int32_t piece, int thread);
    void qkv(int32_t step, int32_t piece, int thread);
    void attend(const step & s, int32_t piece, int thread);
    void attend_many(const step & s, int32_t piece, int thread);
    void keep(const step & s, int32_t piece, int thread);
    void attend_rows(const step & s, int64_t row0, int64_t n_rows, int64_t head_kv, thread_memory & m);
    void add_product(int32_t step, int32_t piece, int thread, const cpu_product & p, const float * x);
    void gate(int32_t step, int32_t piece, int thread);
    static void gate_rows(const cpu_product & gate, const cpu_product & up, int64_t piece, const char * x_gate, const char * x_up,
                          size_t x_stride, int64_t n_rows, float * h, thread_memory & m);
    void make_mixed_forms(const layer_products & l, int64_t r0, int64_t n_rows, char * experts, char * shared) const;
    void route(int32_t step, int32_t piece, int thread);
    void choose(const step & s, int64_t row);
    void experts(int32_t step, int32_t piece, int thread);
    void mix(int32_t step, int32_t piece, int thread);
    void head(int32_t step, int32_t piece, int thread);
    void each_row(int32_t step, int32_t piece, int thread);
    void draw_lane(const step & s, int64_t lane);
    void look_up(const ggml_tensor * table, int32_t id, float * out) const;

    const stack & blocks_;
    const stack_hparams & hp_;
    stack_ends  ends_;
    stack_chain chain_;
    int64_t     n_lanes_, n_in_, n_rows_max_, n_own_, n_used_ = 0, n_context_ = 0;  // n_used: experts of a row
    cpu_product     proj_;
    std::vector<layer_products> layers_;
    std::vector<ggml_tensor *>  keys_, values_;
    matvec      of_keys_{}, of_values_{};
    std::vector<pass>   passes_;
    std::vector<step>   steps_;
    std::vector<float>  periods_;
    std::vector<float>  in_, x_, q_, k_, v_, y_, h_, logits_, sum_;   // [n_rows][..]
    std::vector<float>  routes_, opens_, mixed_;                       // [n_rows][n_expert], [n_rows], [n_rows][n_used][n_ff]
    std::vector<choice> choices_;                                      // [n_rows][n_used]
    std::vector<char>   forms_;                                        // of a pass of many rows, by slot
    std::vector<thread_memory> memory_;
    size_t      form_bytes_ = 0, ready_bytes_ = 0;
    ggml_tensor *dst_ = nullptr;
    team        team_;
};

} // namespace omni
