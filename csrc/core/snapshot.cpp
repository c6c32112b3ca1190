// Saving a lane and loading it again: of a KV cache the rows it holds, of a stream all of its state.
#include "core/snapshot.h"

#include "core/error.h"
#include "core/session.h"

#include <cstring>

namespace omni {

uint64_t fingerprint(const void * data, uint64_t n, uint64_t seed) {
    const char * bytes = static_cast<const char *>(data);
    uint64_t hash = seed;
    for (uint64_t at = 0; at < n; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, bytes + at, size_t(n - at < sizeof(word) ? n - at : sizeof(word)));
        hash = (hash ^ word) * 1099511628211ull;
    }
    return hash;
}

namespace {

// The part of one lane of a state that is worth keeping: `count` runs of `bytes`, `stride` apart.
struct extent {
    size_t count, bytes, stride, offset;
};

extent live_part(const ggml_tensor * t, const state_spec & spec, int64_t lane, int64_t n_past) {
    extent e{1, t->nb[3], t->nb[3], size_t(lane) * t->nb[3]};
    for (size_t i = 0; i < spec.ne.size(); i++) {
        if (spec.ne[i] == dim_ctx) {  // positions: the first n_past of them, wherever that axis lies
            e.bytes  = size_t(n_past) * t->nb[i];
            e.stride = size_t(t->ne[i]) * t->nb[i];
            e.count  = t->nb[3] / e.stride;
        }
    }
    return e;
}

} // namespace

int64_t session::save(int64_t lane, void * out, int64_t n_max) const {
    check_lane(lane);
    const int64_t n_past = n_past_[size_t(lane)];
    int64_t n_bytes = 0;
    for (size_t i = 0; i < states_.size(); i++) {
        const extent e = live_part(states_[i], specs_[i], lane, n_past);
        n_bytes += int64_t(e.count * e.bytes);
    }
    const int64_t n = int64_t(sizeof(snapshot_header)) + n_bytes;
    if (!out || n > n_max) {
        return n;
    }
    char * to = static_cast<char *>(out) + sizeof(snapshot_header);
    for (size_t i = 0; i < states_.size(); i++) {
        const extent e = live_part(states_[i], specs_[i], lane, n_past);
        for (size_t k = 0; k < e.count && e.bytes; k++, to += e.bytes) {
            ggml_backend_tensor_get(states_[i], to, e.offset + k * e.stride, e.bytes);
        }
    }
    snapshot_header h{};
    std::memcpy(h.magic, snapshot_magic, sizeof(h.magic));
    h.version  = snapshot_version;
    h.n_states = uint32_t(states_.size());
    h.model    = fingerprint(kv_type_);
    h.n_past   = n_past;
    h.n_bytes  = n_bytes;
    h.checksum = omni::fingerprint(static_cast<char *>(out) + sizeof(h), uint64_t(n_bytes));
    std::memcpy(out, &h, sizeof(h));
    return n;
}

void session::load(int64_t lane, const void * in, int64_t n) {
    check_lane(lane);
    snapshot_header h;
    if (n < int64_t(sizeof(h)) || std::memcmp(in, snapshot_magic, sizeof(snapshot_magic)) != 0) {
        fail(OMNI_ERROR_FORMAT, "these %lld bytes are no saved session", (long long) n);
    }
    std::memcpy(&h, in, sizeof(h));
    if (h.version != snapshot_version) {
        fail(OMNI_ERROR_UNSUPPORTED, "the saved session is of version %u, expected %u", h.version, snapshot_version);
    }
    const char * from = static_cast<const char *>(in) + sizeof(h);
    if (h.n_bytes != n - int64_t(sizeof(h)) || h.checksum != omni::fingerprint(from, uint64_t(h.n_bytes))) {
        fail(OMNI_ERROR_FORMAT, "the saved session is damaged: %lld bytes follow its header, expected %lld with their checksum",
             (long long) (n - int64_t(sizeof(h))), (long long) h.n_bytes);
    }
    const uint64_t kv_type = (h.model ^ weights_->fingerprint()) >> 32;  // where the weights are these
    if (h.model != fingerprint(kv_type_) && kv_type < GGML_TYPE_COUNT && h.model == fingerprint(ggml_type(kv_type))) {
        fail(OMNI_ERROR_ARGUMENT, "the saved session has a KV cache of type %s, expected %s", ggml_type_name(ggml_type(kv_type)),
             ggml_type_name(kv_type_));
    }
    if (h.model != fingerprint(kv_type_) || h.n_states != states_.size()) {
        fail(OMNI_ERROR_ARGUMENT, "the saved session was made with other weights than those of this '%s'", weights_->name().c_str());
    }
    const bool positions = n_ctx_ > 0;
    if (h.n_past < 0 || (positions && h.n_past > n_ctx_)) {
        fail(OMNI_ERROR_CONTEXT, "the saved session holds %lld positions, expected at most %lld", (long long) h.n_past, (long long) n_ctx_);
    }
    int64_t n_bytes = 0;
    for (size_t i = 0; i < states_.size(); i++) {
        const extent e = live_part(states_[i], specs_[i], lane, h.n_past);
        n_bytes += int64_t(e.count * e.bytes);
    }
    if (n_bytes != h.n_bytes) {
        fail(OMNI_ERROR_FORMAT, "the saved session has %lld bytes of state, expected %lld", (long long) h.n_bytes, (long long) n_bytes);
    }
    for (size_t i = 0; i < states_.size(); i++) {
        const extent e = live_part(states_[i], specs_[i], lane, h.n_past);
        for (size_t k = 0; k < e.count && e.bytes; k++, from += e.bytes) {
            ggml_backend_tensor_set(states_[i], from, e.offset + k * e.stride, e.bytes);
        }
    }
    n_past_[size_t(lane)] = h.n_past;
    broken_[size_t(lane)] = false;
}

} // namespace omni
