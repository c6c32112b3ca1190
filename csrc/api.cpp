// The C functions: check, call, translate; nothing clever. `guarded` is the only catch in the library.
#include "components/component.h"
#include "core/backends.h"
#include "core/device.h"
#include "core/error.h"
#include "core/log.h"
#include "core/quantize.h"
#include "core/session.h"
#include "kernels/conv_run.h"
#include "kernels/cpu.h"
#include "verbs/codec.h"
#include "verbs/encoder.h"
#include "verbs/lm.h"

#include <cstring>

using namespace omni;

struct omni_device {
    std::shared_ptr<device> d;
};

struct omni_model {
    std::shared_ptr<const weights>   w;
    std::shared_ptr<const component> c;
    bool                             fast;
};

struct omni_session {
    std::shared_ptr<const component> c;
    std::unique_ptr<session>         s;
};

namespace {

// Copies text cut to n_max - 1 bytes and returns the bytes that all of it needs, the closing zero included.
int32_t copy_text(const std::string & text, char * out, int32_t n_max) {
    if (out && n_max > 0) {
        snprintf(out, size_t(n_max), "%s", text.c_str());
    }
    return int32_t(text.size()) + 1;
}

void need(const void * pointer, const char * name) {
    if (!pointer) {
        fail(OMNI_ERROR_ARGUMENT, "%s is NULL", name);
    }
}

void need_kind(const omni_session * s, omni_kind kind, const char * verb, bool able = true) {
    need(s, "session");
    if (s->c->info().kind != kind || !able) {
        fail(OMNI_ERROR_ARGUMENT, "this component cannot %s", verb);
    }
}

} // namespace

int32_t omni_device_list(char * out, int32_t n_max) {
    std::string text;
    omni_error e{};
    guarded(&e, [&] { text = device::list(); });
    return copy_text(text, out, n_max);
}

omni_status omni_addon_load(const char * path, omni_error * err) {
    return guarded(err, [&] {
        need(path, "path");
        addon_load(path);
    });
}

int32_t omni_build_about(char * out, int32_t n_max) {
    std::string text = std::string("ggml\t") + ggml_version() + "\n";
    omni_error e{};
    const omni_status status = guarded(&e, [&] {
        text += device::build();
        const conv_kernels * fast = conv_fast();
        text += std::string("kernels\t") + cpu_variant_name(cpu_kernels()) + "\nfast\t" + (fast ? fast->name : "none") + "\n";
    });
    if (status != OMNI_OK) {
        text += std::string("error\t") + e.message + "\n";
    }
    return copy_text(text, out, n_max);
}

omni_status omni_device_open(const char * name, int32_t n_threads, omni_device ** out, omni_error * err) {
    return guarded(err, [&] {
        need(name, "name");
        need(out, "out");
        *out = new omni_device{std::make_shared<device>(name, n_threads)};
    });
}

omni_status omni_device_limit(omni_device * d, int32_t n_threads, omni_error * err) {
    return guarded(err, [&] {
        need(d, "device");
        d->d->limit(n_threads);
    });
}

int32_t omni_device_name(const omni_device * d, char * out, int32_t n_max) { return copy_text(d->d->name(), out, n_max); }

int32_t omni_device_threads(const omni_device * d) { return d->d->n_threads(); }

void omni_device_free(omni_device * d) { delete d; }

omni_status omni_model_load(omni_device * d, const char * path, const char * component, const omni_load * how, omni_model ** out,
                            omni_error * err) {
    return guarded(err, [&] {
        need(d, "device");
        need(path, "path");
        need(component, "component");
        need(out, "out");
        const component_maker make = find_component(component);
        auto w = std::make_shared<weights>(d->d, path, component);
        std::shared_ptr<const omni::component> c = make(w->root());
        load_options options;
        if (how) {
            options.map          = how->map > 0 ? load_options::map_always : how->map < 0 ? load_options::map_never : load_options::map_large;
            options.host_experts = how->host_experts != 0;
            options.packed       = how->packed != 0;
            options.fast         = how->fast != 0 && d->d->is_cpu() && conv_fast();
        }
        w->upload(options);
        *out = new omni_model{std::move(w), std::move(c), options.fast};
    });
}

void omni_model_info(const omni_model * m, omni_info * out) {
    *out = m->c->info();
    out->n_bytes = m->w->n_bytes();
    out->fast    = m->fast;
}

void omni_model_free(omni_model * m) { delete m; }

omni_status omni_session_open(omni_model * m, int32_t n_ctx, int32_t n_lanes, int32_t kv, omni_session ** out, omni_error * err) {
    return guarded(err, [&] {
        need(m, "model");
        need(out, "out");
        const omni_info info = m->c->info();
        if (info.n_ctx_max && (n_ctx < 1 || n_ctx > info.n_ctx_max)) {
            fail(OMNI_ERROR_ARGUMENT, "n_ctx is %d, expected 1 to %d", n_ctx, info.n_ctx_max);
        }
        if (n_lanes < 1 || n_lanes > 1024) {
            fail(OMNI_ERROR_ARGUMENT, "n_lanes is %d, expected 1 to 1024", n_lanes);
        }
        const ggml_type kv_types[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0};
        if (kv < OMNI_KV_F32 || kv > OMNI_KV_Q8_0 || (kv != OMNI_KV_F32 && info.kind != OMNI_KIND_LM)) {
            fail(OMNI_ERROR_ARGUMENT, "type %d of KV cache, expected one of enum omni_kv, and other than F32 for a language model only",
                 kv);
        }
        std::shared_ptr<const component> c = m->c;
        graph_builder builder{[c](const graph_key & key) { return c->max_nodes(key); }, [c](graph & g) { c->build(g); }};
        if (info.kind == OMNI_KIND_ENCODER) {
            builder.max_graphs = 1;  // no two inputs are equally long, and a graph's memory grows with the length
        }
        *out = new omni_session{c, std::make_unique<session>(m->w, builder, n_ctx, n_lanes, kv_types[kv])};
    });
}

omni_status omni_session_rewind(omni_session * s, int32_t lane, int32_t n_past, omni_error * err) {
    return guarded(err, [&] {
        need(s, "session");
        const session::use use(*s->s, /*repairing =*/true);
        s->s->rewind(lane, n_past);
    });
}

omni_status omni_session_n_past(omni_session * s, int32_t lane, int32_t * out, omni_error * err) {
    return guarded(err, [&] {
        need(s, "session");
        need(out, "out");
        s->s->check_lane(lane);
        *out = int32_t(s->s->n_past(lane));
    });
}

omni_status omni_session_save(omni_session * s, int32_t lane, void * out, int64_t n_max, int64_t * n_out, omni_error * err) {
    return guarded(err, [&] {
        need(s, "session");
        need(n_out, "n_out");
        const session::use use(*s->s);
        *n_out = s->s->save(lane, out, n_max);
    });
}

omni_status omni_session_load(omni_session * s, int32_t lane, const void * in, int64_t n, omni_error * err) {
    return guarded(err, [&] {
        need(s, "session");
        need(in, "in");
        const session::use use(*s->s, /*repairing =*/true);
        s->s->load(lane, in, n);
    });
}

void omni_session_cancel(omni_session * s) {
    if (s) {
        s->s->cancel();
    }
}

void omni_session_free(omni_session * s) { delete s; }

omni_status omni_session_tap(omni_session * s, const char * node, float * out, int64_t n_max, int64_t * n_out, omni_error * err) {
    return guarded(err, [&] {
        need(s, "session");
        need(node, "node");
        const session::use use(*s->s);
        if (n_out) {
            *n_out = s->s->read_tap(node, out, n_max);
        } else {
            s->s->want_tap(node);
        }
    });
}

int32_t omni_log_drain(char * out, int32_t n_max) { return copy_text(log_take(), out, n_max); }

omni_status omni_lm_embed(omni_session * s, int32_t table, const int32_t * ids, int32_t n, float * out, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_LM, "embed ids");
        need(ids, "ids");
        need(out, "out");
        const session::use use(*s->s);
        lm_embed(*s->s, *s->c, table, ids, n, out);
    });
}

omni_status omni_lm_project(omni_session * s, int32_t which, const float * in, int32_t n, float * out, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_LM, "project rows");
        need(in, "rows");
        need(out, "out");
        const session::use use(*s->s);
        lm_project(*s->s, s->c->info(), which, in, n, out);
    });
}

omni_status omni_lm_decode(omni_session * s, const omni_lm_input * in, const omni_lm_output * out, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_LM, "decode rows");
        need(in, "input");
        need(in->lanes, "lanes");
        need(in->embeds, "embeds");
        need(out, "output");
        const session::use use(*s->s);
        lm_decode(*s->s, *s->c, *in, *out);
    });
}

omni_status omni_lm_join(omni_session * talker, omni_session * predictor, omni_error * err) {
    return guarded(err, [&] {
        need_kind(talker, OMNI_KIND_LM, "be joined");
        need_kind(predictor, OMNI_KIND_LM, "be joined");
        lm_join(*talker->s, *talker->c, *predictor->s, *predictor->c);
    });
}

omni_status omni_lm_row(omni_session * s, int32_t lane, float * out, const float * in, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_LM, "pass rows on");
        const session::use use(*s->s);
        lm_row(*s->s, *s->c, lane, out, in);
    });
}

omni_status omni_lm_groups(omni_session * s, int32_t n_lanes, const int32_t * lanes, const float * hidden, const int32_t * code0,
                           const omni_draw * draw, int32_t * codes, float * row_sum, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_LM, "fill frames");
        need(code0, "code0");
        need(draw, "draw");
        need(codes, "codes");
        const session::use use(*s->s);
        lm_groups(*s->s, *s->c, n_lanes, lanes, hidden, code0, *draw, codes, row_sum);
    });
}

omni_status omni_codec_decode(omni_session * s, int32_t lane, const int32_t * codes, int32_t n_frames, float * pcm,
                              int64_t n_max, int64_t * n_out, omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_CODEC, "decode codes", s && !s->c->rows_per_frame());
        need(n_out, "n_out");
        const session::use use(*s->s);
        *n_out = codec_samples(*s->s, s->c->info(), lane, n_frames);
        if (pcm) {
            need(codes, "codes");
            codec_decode(*s->s, s->c->info(), lane, codes, n_frames, pcm, n_max);
        }
    });
}

omni_status omni_encode(omni_session * s, const float * in, int32_t n, const int32_t * grid, float * out, int32_t n_max, int32_t * n_out,
                        omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_ENCODER, "encode rows");
        need(in, "rows");
        need(n_out, "n_out");
        const session::use use(*s->s);
        *n_out = int32_t(encode(*s->s, *s->c, in, n, grid, out, n_max));
    });
}

omni_status omni_codec_encode(omni_session * s, const float * pcm, int32_t n, int32_t * codes, int32_t n_max, int32_t * n_frames,
                              omni_error * err) {
    return guarded(err, [&] {
        need_kind(s, OMNI_KIND_CODEC, "encode samples", s && s->c->rows_per_frame());
        need(pcm, "pcm");
        need(codes, "codes");
        need(n_frames, "n_frames");
        const session::use use(*s->s, /*repairing =*/true);  // it starts afresh
        *n_frames = int32_t(codec_encode(*s->s, *s->c, pcm, n, codes, n_max));
    });
}

omni_status omni_quantize(const char * type, const float * in, int64_t n_rows, int64_t n_per_row, const float * importance, void * out,
                          int64_t n_max, int64_t * n_out, omni_error * err) {
    return guarded(err, [&] {
        need(type, "type");
        need(n_out, "n_out");
        *n_out = int64_t(quantized_size(type, n_rows, n_per_row));
        if (!out) {
            return;
        }
        need(in, "rows");
        if (n_max < *n_out) {
            fail(OMNI_ERROR_ARGUMENT, "the rows take %lld bytes, expected at most %lld", (long long) *n_out, (long long) n_max);
        }
        quantize_rows(type, in, n_rows, n_per_row, importance, out);
    });
}
