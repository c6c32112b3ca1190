// Weights and state of one component. A component asks for every tensor with the shape it must have and for the
// memory it keeps between calls; what it did not ask for, or asked for in vain, is an error that names the tensor.
#pragma once

#include "core/device.h"
#include "core/gguf.h"

#include "ggml.h"

#include <map>
#include <memory>
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
};

class loader;

// The tensors of one component on one device, and the shapes of the state its sessions need. Immutable once uploaded.
class weights {
  public:
    weights(std::shared_ptr<omni::device> d, const std::string & path, const std::string & component);

    loader root();
    void upload();  // after the component asked for everything: checks for strangers, allocates, reads the file

    const std::shared_ptr<omni::device> & device() const { return device_; }
    const std::vector<state_spec> & states() const { return states_; }
    const std::string & name() const { return component_; }
    int64_t n_bytes() const { return n_bytes_; }
    uint64_t fingerprint() const { return fingerprint_; }  // of names, types, shapes and the first bytes of each tensor

  private:
    friend class loader;
    ggml_tensor * request(const std::string & name, const shape & ne, bool f32_only);

    std::shared_ptr<omni::device>    device_;
    std::shared_ptr<const gguf_file> file_;
    std::string                      component_;
    context_ptr                      ctx_;
    buffer_ptr                       buffer_;
    std::map<std::string, ggml_tensor *> tensors_;
    std::vector<state_spec>          states_;
    int64_t                          n_bytes_ = 0;
    uint64_t                         fingerprint_ = 0;
};

// A place in the tree of tensor names: scope("blk").scope("3").weight("attn_q.weight", {...}).
class loader {
  public:
    loader(weights & w, std::string prefix, std::string component);

    loader scope(const std::string & name) const { return loader(*w_, path(name), component_); }
    loader scope(int64_t i) const { return scope(std::to_string(i)); }
    loader component(const std::string & name) const { return loader(*w_, name, name); }  // a neighbour in the file

    ggml_tensor * weight(const std::string & name, const shape & ne) const;  // a matrix, of any type
    ggml_tensor * f32(const std::string & name, const shape & ne) const;     // norms, biases, convolutions

    state_slot state_zeros(const shape & ne) const;
    state_slot state_kv(const shape & ne) const;

    const gguf_keys kv;  // hyperparameters of the component, whatever the scope

  private:
    std::string path(const std::string & name) const { return prefix_ + "." + name; }

    weights *   w_;
    std::string prefix_;
    std::string component_;
};

} // namespace omni
