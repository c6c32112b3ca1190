#include "core/foreign.h"

#include "core/error.h"

#include <gguf.h>  // ggml's, not the one in this folder

#include <vector>

namespace omni {
namespace {

struct renamed_key {
    const char * ours;
    const char * theirs;
    gguf_type    type;
};

struct fixed_u32 {
    const char * ours;
    uint32_t     value;
};

// One program's name for a network of ours. Tensors have our names there, without the component's.
struct foreign {
    const char *             architecture;
    const char *             component;
    std::vector<renamed_key> keys;
    const char *             sections;     // rotary frequencies of each axis; a fourth axis must have none
    const char *             expert_norm;  // may be missing; must not be false
    std::vector<fixed_u32>   fixed;        // what such files never have
};

const foreign table[] = {
    // llama.cpp's Qwen3-VL-MoE, and the thinker of Qwen3-Omni. Rows of media, and so deepstack, come from its other
    // file, whose rows are made in another way; text alone needs none.
    {"qwen3vlmoe",
     "thinker",
     {{"n_layer", "block_count", GGUF_TYPE_UINT32},
      {"n_embd", "embedding_length", GGUF_TYPE_UINT32},
      {"n_head", "attention.head_count", GGUF_TYPE_UINT32},
      {"n_head_kv", "attention.head_count_kv", GGUF_TYPE_UINT32},
      {"head_dim", "attention.key_length", GGUF_TYPE_UINT32},
      {"rms_eps", "attention.layer_norm_rms_epsilon", GGUF_TYPE_FLOAT32},
      {"rope_theta", "rope.freq_base", GGUF_TYPE_FLOAT32},
      {"n_ctx_max", "context_length", GGUF_TYPE_UINT32},
      {"n_expert", "expert_count", GGUF_TYPE_UINT32},
      {"n_expert_used", "expert_used_count", GGUF_TYPE_UINT32},
      {"n_ff_expert", "expert_feed_forward_length", GGUF_TYPE_UINT32}},
     "rope.dimension_sections",
     "expert_weights_norm",
     {{"n_ff_shared", 0}, {"n_deepstack", 0}, {"accept_layer", 0}}},
};

class adopter {
  public:
    adopter(gguf_context * header, const std::string & path, const foreign & f) : header_(header), path_(path), f_(f) {}

    std::string run() {
        const std::string ours = std::string(f_.component) + ".";
        for (const renamed_key & k : f_.keys) {
            const int64_t     id  = find(theirs(k.theirs), k.type);
            const std::string key = ours + k.ours;
            if (k.type == GGUF_TYPE_UINT32) {
                gguf_set_val_u32(header_, key.c_str(), gguf_get_val_u32(header_, id));
            } else {
                gguf_set_val_f32(header_, key.c_str(), gguf_get_val_f32(header_, id));
            }
        }
        for (const fixed_u32 & k : f_.fixed) {
            gguf_set_val_u32(header_, (ours + k.ours).c_str(), k.value);
        }
        const std::vector<int32_t> sections = axes();
        gguf_set_arr_data(header_, (ours + "rope_sections").c_str(), GGUF_TYPE_INT32, sections.data(), sections.size());
        gguf_set_val_bool(header_, (ours + "norm_topk").c_str(), norms());
        gguf_set_val_u32(header_, (ours + "n_vocab").c_str(), uint32_t(gguf_get_arr_n(header_, array("tokenizer.ggml.tokens", GGUF_TYPE_STRING))));
        const char * held[] = {f_.component};
        gguf_set_arr_str(header_, "pyomni.components", held, 1);
        return ours;
    }

  private:
    std::string theirs(const char * leaf) const { return std::string(f_.architecture) + "." + leaf; }

    int64_t find(const std::string & key, gguf_type type) const {
        const int64_t id = gguf_find_key(header_, key.c_str());
        if (id < 0) {
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' is missing", path_.c_str(), key.c_str());
        }
        if (gguf_get_kv_type(header_, id) != type) {
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' is of type %s, expected %s", path_.c_str(), key.c_str(),
                 gguf_type_name(gguf_get_kv_type(header_, id)), gguf_type_name(type));
        }
        return id;
    }

    int64_t array(const std::string & key, gguf_type type) const {
        const int64_t id = find(key, GGUF_TYPE_ARRAY);
        if (gguf_get_arr_type(header_, id) != type) {
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' is an array of %s, expected %s", path_.c_str(), key.c_str(),
                 gguf_type_name(gguf_get_arr_type(header_, id)), gguf_type_name(type));
        }
        return id;
    }

    std::vector<int32_t> axes() const {
        const std::string key = theirs(f_.sections);
        const int64_t     id  = array(key, GGUF_TYPE_INT32);
        const size_t      n   = gguf_get_arr_n(header_, id);
        const int32_t *   v   = n ? static_cast<const int32_t *>(gguf_get_arr_data(header_, id)) : nullptr;
        if (n != 3 && !(n == 4 && v[3] == 0)) {
            fail(OMNI_ERROR_FORMAT, "%s: key '%s' has %zu numbers, expected three, or a zero after them", path_.c_str(), key.c_str(), n);
        }
        return std::vector<int32_t>(v, v + 3);
    }

    bool norms() const {
        const std::string key = theirs(f_.expert_norm);
        if (gguf_find_key(header_, key.c_str()) >= 0 && !gguf_get_val_bool(header_, find(key, GGUF_TYPE_BOOL))) {
            fail(OMNI_ERROR_UNSUPPORTED, "%s: key '%s' is false, expected true", path_.c_str(), key.c_str());
        }
        return true;
    }

    gguf_context *      header_;
    const std::string & path_;
    const foreign &     f_;
};

} // namespace

std::string adopt(gguf_context * header, const std::string & path) {
    const int64_t id = gguf_find_key(header, "general.architecture");
    if (id < 0 || gguf_get_kv_type(header, id) != GGUF_TYPE_STRING) {
        return "";
    }
    const std::string architecture = gguf_get_val_str(header, id);
    for (const foreign & f : table) {
        if (architecture == f.architecture) {
            return adopter(header, path, f).run();
        }
    }
    return "";
}

} // namespace omni
