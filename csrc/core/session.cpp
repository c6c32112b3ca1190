#include "core/session.h"

#include "core/error.h"
#include "core/headroom.h"

#include "ggml-alloc.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace omni {

// Threads meet at a barrier after every node. Weights this small are read faster than that pays for.
static const int64_t min_shared_bytes = 8 << 20;

// A name is tapped at most this often in one graph: once for each group of a frame.
static const size_t max_taps_of_a_name = 32;

struct sched_free {
    void operator()(ggml_backend_sched_t s) const {
        if (!device_lost()) {
            ggml_backend_sched_free(s);
        }
    }
};

// Each graph has a scheduler of its own: its memory is planned once and an ordinary step plans nothing.
struct session::built {
    std::unique_ptr<graph> g;
    std::unique_ptr<ggml_backend_sched, sched_free> sched;
    uint64_t used = 0;
    size_t   bytes = 0;  // of working memory
};

session::session(std::shared_ptr<const weights> w, graph_builder builder, int64_t n_ctx, int64_t n_lanes, ggml_type kv_type)
    : weights_(std::move(w)), builder_(std::move(builder)), n_ctx_(n_ctx), n_past_(size_t(n_lanes), 0),
      broken_(size_t(n_lanes), false), specs_(weights_->states()), kv_type_(kv_type) {
    const omni::device & d = *weights_->device();
    n_threads_ = weights_->n_bytes() < min_shared_bytes ? 1 : d.n_threads();
    n_used_    = n_threads_;
    backends_  = d.open_backends(n_threads_, aborted, this);

    need_memory((specs_.size() + 1) * ggml_tensor_overhead());
    state_ctx_.reset(ggml_init({/*.mem_size =*/(specs_.size() + 1) * ggml_tensor_overhead(), /*.mem_buffer =*/nullptr, /*.no_alloc =*/true}));
    for (state_spec & spec : specs_) {
        const ggml_type type = spec.unit ? kv_type : GGML_TYPE_F32;
        if (spec.unit && spec.unit % ggml_blck_size(type) != 0) {
            fail(OMNI_ERROR_ARGUMENT, "a KV cache of type %s needs heads of whole blocks of %lld, and those of '%s' have %lld channels",
                 ggml_type_name(type), (long long) ggml_blck_size(type), weights_->name().c_str(), (long long) spec.unit);
        }
        if (ggml_is_quantized(type) && spec.ne[0] == dim_ctx) {
            std::swap(spec.ne[0], spec.ne[1]);  // a block holds channels of one row
        }
        int64_t ne[4] = {1, 1, 1, n_lanes};
        for (size_t i = 0; i < spec.ne.size(); i++) {
            ne[i] = spec.ne[i] == dim_ctx ? n_ctx_padded() : spec.ne[i];
        }
        states_.push_back(ggml_new_tensor(state_ctx_.get(), type, 4, ne));
        has_stream_ = has_stream_ || spec.zero;
    }
    if (!states_.empty()) {
        // Masked KV rows are multiplied by zero: they must be finite.
        if (d.is_cpu()) {
            reserve_host_state(d);
        } else if (state_buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(state_ctx_.get(), d.buffer_type())); state_buffer_) {
            ggml_backend_buffer_clear(state_buffer_.get(), 0);
        }
        if (!state_buffer_) {
            fail(OMNI_ERROR_MEMORY, "the state of a '%s' session (n_ctx %lld, %lld lanes) does not fit on device '%s'",
                 weights_->name().c_str(), (long long) n_ctx, (long long) n_lanes, d.name().c_str());
        }
    }
}

// Memory that is zero and that the system gives page by page, as a context fills.
void session::reserve_host_state(const omni::device & d) {
    const ggml_backend_buffer_type_t type = d.host_buffer_type();
    const size_t alignment = ggml_backend_buft_get_alignment(type);
    size_t n = alignment;
    for (const ggml_tensor * t : states_) {
        n += GGML_PAD(ggml_backend_buft_get_alloc_size(type, t), alignment);
    }
    state_memory_.reset(calloc(n, 1));
    const size_t skip = alignment - reinterpret_cast<uintptr_t>(state_memory_.get()) % alignment;
    buffer_ptr buffer = state_memory_ ? d.host_buffer(static_cast<char *>(state_memory_.get()) + skip, n - skip) : nullptr;
    if (!buffer) {
        return;
    }
    ggml_tallocr place = ggml_tallocr_new(buffer.get());
    for (ggml_tensor * t : states_) {
        if (ggml_tallocr_alloc(&place, t) != GGML_STATUS_SUCCESS) {
            return;
        }
    }
    state_buffer_ = std::move(buffer);
}

session::~session() = default;

bool session::aborted(void * self) { return static_cast<session *>(self)->cancelled_; }

session::built & session::get(const graph_key & key) {
    auto it = graphs_.find(key);
    if (it == graphs_.end()) {
        make_room(builder_.max_graphs - 1, builder_.max_bytes);
        auto b = std::make_unique<built>();
        const size_t max_nodes = builder_.max_nodes(key) + max_taps_of_a_name * wanted_.size();
        need_memory(graph_bytes(max_nodes));
        b->g = std::make_unique<graph>(key, max_nodes, states_, wanted_, weights_->device()->is_cpu(), n_threads_, joined_.get());
        builder_.build(*b->g);
        std::vector<ggml_backend_t> raw;
        for (const backend_ptr & backend : backends_) {
            raw.push_back(backend.get());
        }
        b->sched.reset(ggml_backend_sched_new(raw.data(), nullptr, int(raw.size()), max_nodes, false, true));
        if (!b->sched || !ggml_backend_sched_alloc_graph(b->sched.get(), b->g->cgraph())) {
            fail(OMNI_ERROR_MEMORY, "a graph of '%s' (%d rows, %d lanes, %d KV rows) does not fit on device '%s'",
                 weights_->name().c_str(), key.n, key.n_lanes, key.n_kv, weights_->device()->name().c_str());
        }
        b->bytes = b->g->kept_bytes();
        for (ggml_backend_t backend : raw) {
            b->bytes += ggml_backend_sched_get_buffer_size(b->sched.get(), backend);
        }
        make_room(builder_.max_graphs - 1, builder_.max_bytes - std::min(b->bytes, builder_.max_bytes));
        it = graphs_.emplace(key, std::move(b)).first;
    }
    it->second->used = ++clock_;
    return *it->second;
}

// Forgets graphs until so many are left, of so much working memory. For memory only the large ones go, so that the many
// graphs of a step outlive those of a prefill.
void session::make_room(size_t n_graphs, size_t n_bytes) {
    for (;;) {
        size_t total = 0;
        for (const auto & [key, b] : graphs_) {
            total += b->bytes;
        }
        const bool crowded = graphs_.size() > n_graphs;
        auto oldest = graphs_.end();
        for (auto it = graphs_.begin(); it != graphs_.end(); ++it) {
            const bool counts = crowded || it->second->bytes > builder_.max_bytes / 32;
            if (counts && (oldest == graphs_.end() || it->second->used < oldest->second->used)) {
                oldest = it;
            }
        }
        if (!(crowded || total > n_bytes) || oldest == graphs_.end()) {
            return;
        }
        if (oldest->second.get() == last_) {
            last_ = nullptr;
        }
        graphs_.erase(oldest);
    }
}

uint64_t session::fingerprint(ggml_type kv_type) const { return weights_->fingerprint() ^ (uint64_t(kv_type) << 32); }

void session::run(const graph_key & key, const std::vector<feed> & in, const std::vector<fetch> & out) {
    std::lock_guard<std::mutex> lock(weights_->device()->compute);
    built & b = get(key);
    last_ = &b;
    // A scheduler may give an input's memory to a later node, so even constants are written before every run.
    for (const auto & [name, values] : b.g->constants()) {
        ggml_tensor * t = b.g->inputs().at(name);
        if (t->buffer) {
            ggml_backend_tensor_set(t, values.data(), 0, values.size());
        }
    }
    for (const feed & f : in) {
        auto it = b.g->inputs().find(f.name);
        if (it == b.g->inputs().end() || !it->second->buffer) {
            continue;  // this graph has no use for it
        }
        if (f.bytes != ggml_nbytes(it->second)) {
            fail(OMNI_ERROR_INTERNAL, "graph input '%s' holds %zu bytes, got %zu", f.name, ggml_nbytes(it->second), f.bytes);
        }
        ggml_backend_tensor_set(it->second, f.data, 0, f.bytes);
    }
    const omni::device & d = *weights_->device();
    if (const int n = d.at_most(n_threads_); n != n_used_) {
        d.use_threads(backends_.back().get(), n);
        n_used_ = n;
    }
    const auto half_way = [&] {
        for (int32_t i = 0; i < key.n_lanes; i++) {
            broken_[size_t(key.lane0 + i)] = key.verb != verb_embed && key.verb != verb_project && key.verb != verb_encode;  // which keep nothing
        }
    };
    ggml_status status = GGML_STATUS_FAILED;
    try {
        status = ggml_backend_sched_graph_compute(b.sched.get(), b.g->cgraph());
    } catch (...) {  // a GPU's backend
        half_way();
        throw;
    }
    if (status != GGML_STATUS_SUCCESS) {
        half_way();
        if (status == GGML_STATUS_ABORTED) {
            fail(OMNI_ERROR_CANCELLED, "the call was cancelled");
        }
        fail(status == GGML_STATUS_ALLOC_FAILED ? OMNI_ERROR_MEMORY : OMNI_ERROR_INTERNAL, "a graph of '%s' failed: %s",
             weights_->name().c_str(), ggml_status_to_string(status));
    }
    for (const fetch & f : out) {
        if (f.optional && !b.g->outputs().count(f.name)) {
            continue;
        }
        ggml_tensor * t = b.g->outputs().at(f.name);
        if (f.bytes != ggml_nbytes(t)) {
            fail(OMNI_ERROR_INTERNAL, "graph output '%s' holds %zu bytes, wanted %zu", f.name, ggml_nbytes(t), f.bytes);
        }
        ggml_backend_tensor_get(t, f.data, 0, f.bytes);
    }
}

void session::check_lane(int64_t lane) const {
    if (lane < 0 || lane >= n_lanes()) {
        fail(OMNI_ERROR_ARGUMENT, "lane %lld, expected 0 to %lld", (long long) lane, (long long) n_lanes() - 1);
    }
}

void session::rewind(int64_t lane, int64_t n_past) {
    check_lane(lane);
    const int64_t now = n_past_[size_t(lane)];
    if (n_past < 0 || n_past > now) {
        fail(OMNI_ERROR_ARGUMENT, "rewind to %lld, expected 0 to %lld positions", (long long) n_past, (long long) now);
    }
    if (n_past != 0 && broken_[size_t(lane)]) {
        fail(OMNI_ERROR_STATE, "lane %lld failed half way; it can only be rewound to 0", (long long) lane);
    }
    if (n_past != 0 && n_past != now && has_stream_) {
        fail(OMNI_ERROR_ARGUMENT, "a '%s' stream can only be rewound to 0, not to %lld", weights_->name().c_str(), (long long) n_past);
    }
    n_past_[size_t(lane)] = n_past;
    if (n_past == 0) {
        broken_[size_t(lane)] = false;
        for (size_t i = 0; i < states_.size(); i++) {
            if (specs_[i].zero) {
                ggml_backend_tensor_memset(states_[i], 0, size_t(lane) * states_[i]->nb[3], states_[i]->nb[3]);
            }
        }
    }
}

void session::join(std::shared_ptr<const joined_rows> rows) {
    joined_ = std::move(rows);
    last_   = nullptr;
    graphs_.clear();  // built with others, or none
}

void session::want_tap(const std::string & name) {
    if (wanted_.insert(name).second) {
        last_ = nullptr;
        graphs_.clear();  // built without the tap
    }
}

void session::keep_tap(const std::string & name, const std::vector<float> & whole) {
    if (wanted_.count(name)) {
        kept_[name] = whole;
    }
}

int64_t session::read_tap(const std::string & name, float * out, int64_t n_max) const {
    const auto kept = kept_.find(name);
    if (kept != kept_.end()) {
        const int64_t n = int64_t(kept->second.size());
        if (out && n <= n_max) {
            std::copy(kept->second.begin(), kept->second.end(), out);
        }
        return n;
    }
    if (!last_ || !last_->g->taps().count(name)) {
        fail(OMNI_ERROR_ARGUMENT, "the last run kept no node named '%s'", name.c_str());
    }
    ggml_tensor * t = last_->g->taps().at(name);
    const int64_t n = ggml_nelements(t);
    if (out && n <= n_max) {
        ggml_backend_tensor_get(t, out, 0, size_t(n) * sizeof(float));
    }
    return n;
}

session::use::use(session & s, bool repairing) : s_(s) {
    if (s.busy_.test_and_set()) {
        fail(OMNI_ERROR_BUSY, "another thread is using this '%s' session", s.weights_->name().c_str());
    }
    s.cancelled_ = false;
    if (!repairing && std::find(s.broken_.begin(), s.broken_.end(), true) != s.broken_.end()) {
        s.busy_.clear();
        fail(OMNI_ERROR_STATE, "an earlier call on this '%s' session failed half way; rewind its lanes to 0 first",
             s.weights_->name().c_str());
    }
}

session::use::~use() { s_.busy_.clear(); }

} // namespace omni
