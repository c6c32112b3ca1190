// Weights and state of one component. A component asks for every tensor with the shape it must have and for the
// memory it keeps between calls; what it did not ask for, or asked for in vain, is an error that names the tensor.
#pragma once

#include "core/device.h"
#include "core/gguf.h"
#include "core/mapped_file.h"

#include "ggml.h"

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace omni {

struct context_free {
    void operator()(ggml_context * c) const { ggml_free(c); }
};
using context_ptr = std::unique_ptr<ggml_context, context_free>;

using shape = std::vector<int64_t>;  // ggml order, first index fastest
std::string text_of(const shape & ne);

using state_slot = int;
constexpr int64_t dim_ctx = -1;  // in a state's shape: the positions of the session, padded to whole KV blocks

struct state_spec {
    shape ne;    // of one lane, F32; the lane is the axis after the last
    bool  zero;  // must be zero when a lane starts (stream state); rows of a KV cache are masked instead
    int64_t unit = 0;  // of a KV cache, whose type the session chooses: channels of a head
};

// How the weights of a component are kept.
struct load_options {
    enum { map_large = 0, map_always = 1, map_never = -1 };
    int  map          = map_large;  // whether weights that the CPU works on stay in the file, read when looked at: many, or a large table
    bool host_experts = false;      // matrices of experts stay with the CPU, whatever the device
    bool packed       = false;      // matrices the CPU works on are rearranged for its kernels as they are read
    bool fast         = false;      // products in bfloat16, summed in float32, where the CPU multiplies so and a block can
};

// Takes the values of a tensor as it is read, in the order of the file, and returns the bytes it keeps of them.
using value_taker = std::function<int64_t(const float * values, const load_options & how)>;

class loader;

// The tensors of one component on one device, and the shapes of the state its sessions need. Immutable once uploaded.
class weights {
  public:
    weights(std::shared_ptr<omni::device> d, const std::string & path, const std::string & component);

    loader root();
    // After the component asked for everything: checks for strangers, then maps the file or allocates and reads it.
    void upload(const load_options & how);

    const std::shared_ptr<omni::device> & device() const { return device_; }
    const std::vector<state_spec> & states() const { return states_; }
    const std::string & name() const { return component_; }
    int64_t n_bytes() const { return n_bytes_; }
    uint64_t fingerprint() const { return fingerprint_; }  // of names, types, shapes and the first bytes of each tensor

  private:
    friend class loader;
    ggml_tensor * request(const std::string & name, const shape & ne, bool f32_only, bool widen);
    void pack(const std::vector<std::string> & names);       // those of the matrices that this CPU has such kernels for
    std::vector<std::string> large_tables(const std::vector<std::string> & names) const;
    void map(const std::vector<std::string> & names);        // tensors that stay in the file
    void allocate(const std::vector<std::string> & names, ggml_backend_buffer_type_t type);
    void seek(const std::string & name, FILE * file) const;
    void take(const std::string & name, FILE * file, void * to, size_t n) const;
    void read(const std::string & name, FILE * file) const;  // into its buffer
    void widen(const std::string & name, FILE * file) const; // the same, of f16 that is computed with as f32
    std::vector<float> values(const std::string & name, FILE * file) const;  // of f32, or f16 widened

    std::shared_ptr<omni::device>    device_;
    std::shared_ptr<const gguf_file> file_;
    std::string                      component_;
    context_ptr                      ctx_;
    std::unique_ptr<mapped_file>     file_map_;
    std::vector<buffer_ptr>          buffers_;
    std::map<std::string, ggml_tensor *> tensors_;
    std::set<std::string>            matrices_, tables_, packed_, mapped_;
    std::map<std::string, value_taker> takers_;
    std::vector<state_spec>          states_;
    int64_t                          n_bytes_ = 0;
    uint64_t                         fingerprint_ = 0;
};

// A place in the tree of tensor names: scope("blk").scope("3").weight("attn_q.weight", {...}).
class loader {
  public:
    loader(weights & w, std::string prefix, std::string component, bool widen = false);

    loader scope(const std::string & name) const { return loader(*w_, path(name), component_, widen_); }
    loader scope(int64_t i) const { return scope(std::to_string(i)); }
    loader component(const std::string & name) const { return loader(*w_, name, name); }  // a neighbour in the file
    // F16 matrices become F32 as they are read: a product with F16 weights would round its other side to F16 as well.
    loader widened() const { return loader(*w_, prefix_, component_, true); }

    ggml_tensor * weight(const std::string & name, const shape & ne) const;  // a matrix or table, of any type
    ggml_tensor * matrix(const std::string & name, const shape & ne) const;  // only ever the left side of a product
    ggml_tensor * table(const std::string & name, const shape & ne) const;   // whose rows are looked up, and no more
    ggml_tensor * f32(const std::string & name, const shape & ne) const;     // norms, biases, convolutions

    // The same, for who keeps them in a way of its own: no tensor holds them.
    void values(const std::string & name, const shape & ne, value_taker take) const;

    bool floats(const std::string & name) const;  // whether the file has it as f32 or f16
    bool on_cpu() const { return w_->device()->is_cpu(); }
    int  n_threads() const { return w_->device()->n_threads(); }  // that may run a graph, at most

    state_slot state_zeros(const shape & ne) const;
    state_slot state_kv(const shape & ne, int64_t head_dim) const;

    const gguf_keys kv;  // hyperparameters of the component, whatever the scope

  private:
    std::string path(const std::string & name) const { return prefix_ + "." + name; }

    weights *   w_;
    std::string prefix_;
    std::string component_;
    bool        widen_;
};

} // namespace omni
