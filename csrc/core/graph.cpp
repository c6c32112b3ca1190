#include "core/graph.h"

#include "core/error.h"

namespace omni {

graph::graph(const graph_key & key, size_t max_nodes, const std::vector<ggml_tensor *> & states, const std::set<std::string> & wanted,
             bool cpu, int n_threads, const joined_rows * joined)
    : key(key), cpu(cpu), n_threads(n_threads), joined(joined), states_(states), wanted_(wanted) {
    // Views and inputs are tensors too: twice the nodes is room for all of them.
    const size_t bytes = 2 * max_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(max_nodes, false);
    owned_.reset(ggml_init({/*.mem_size =*/bytes, /*.mem_buffer =*/nullptr, /*.no_alloc =*/true}));
    ctx = owned_.get();
    gf_ = ggml_new_graph_custom(ctx, max_nodes, false);
}

ggml_tensor * graph::input(const std::string & name, ggml_type type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3) {
    auto it = inputs_.find(name);
    if (it != inputs_.end()) {
        return it->second;
    }
    ggml_tensor * t = ggml_new_tensor_4d(ctx, type, ne0, ne1, ne2, ne3);
    ggml_set_name(t, name.c_str());
    ggml_set_input(t);
    inputs_[name] = t;
    return t;
}

ggml_tensor * graph::constant(const std::string & name, ggml_type type, const void * values, size_t n) {
    const char * bytes = static_cast<const char *>(values);
    constants_[name].assign(bytes, bytes + n * ggml_type_size(type));
    return input(name, type, int64_t(n));
}

ggml_tensor * graph::constant(const std::string & name, const std::vector<float> & values) {
    return constant(name, GGML_TYPE_F32, values.data(), values.size());
}

ggml_tensor * graph::constant(const std::string & name, const std::vector<int32_t> & values) {
    return constant(name, GGML_TYPE_I32, values.data(), values.size());
}

void graph::output(const std::string & name, ggml_tensor * t) {
    if (!ggml_is_contiguous(t) || t->view_src) {  // a view is kept no longer than what it looks at
        t = ggml_cont(ctx, t);
    }
    ggml_set_name(t, name.c_str());
    ggml_set_output(t);
    ggml_build_forward_expand(gf_, t);
    outputs_[name] = t;
}

ggml_tensor * graph::tap(const std::string & name, ggml_tensor * t) {
    if (wanted_.count(name)) {
        ggml_tensor * copy = ggml_cont(ctx, t);  // of its own: t may be a view or be written over later
        ggml_set_output(copy);
        ggml_build_forward_expand(gf_, copy);
        taps_[name] = copy;
    }
    return t;
}

ggml_tensor * graph::state_lanes(state_slot slot) const { return states_[size_t(slot)]; }

ggml_tensor * graph::state(state_slot slot) {
    ggml_tensor * all = state_lanes(slot);  // [.., n_lanes]: a lane is one contiguous piece
    const size_t lane_bytes = all->nb[3];
    return ggml_view_3d(ctx, all, all->ne[0], all->ne[1], all->ne[2], all->nb[1], all->nb[2], size_t(key.lane0) * lane_bytes);
}

void graph::store(state_slot slot, ggml_tensor * t) { after(ggml_cpy(ctx, t, state(slot))); }

void graph::after(ggml_tensor * t) { ggml_build_forward_expand(gf_, t); }

} // namespace omni
