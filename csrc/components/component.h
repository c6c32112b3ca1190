// What a component is: a constructor that asks for every tensor and every piece of state, and two methods.
#pragma once

#include "blocks/rope.h"
#include "core/graph.h"
#include "core/loader.h"
#include "omni.h"

#include <memory>
#include <string>

namespace omni {

struct component {
    virtual ~component() = default;
    virtual omni_info info() const = 0;
    virtual size_t max_nodes(const graph_key & key) const = 0;  // an upper bound for the graph of this key
    virtual void build(graph & g) const = 0;                    // adds the nodes of g.key

    // What a language model's verbs need to check and to fill.
    virtual int64_t table_size(int32_t /*table*/) const { return 0; }  // rows of an embedding table
    virtual int64_t n_first_codes() const { return 0; }                // ids group 0 of a frame may have
    virtual int64_t kv_width() const { return 0; }                     // floats of a KV row
    virtual int64_t n_head() const { return 0; }                       // rows of scores per input row
    virtual const rope_axes * axes() const { return nullptr; }         // where positions have several axes

    virtual int64_t n_rows_out(int64_t n) const { return n; }          // what an encoder makes of n rows
    virtual int64_t window_rows() const { return 0; }                  // rows it takes at once: what follows does not see them; 0: all

    // How a codec's encoder makes one frame of several rows of its transformer.
    virtual int64_t rows_per_frame() const { return 0; }  // rows from one frame to the next
    virtual int64_t frame_kernel() const { return 0; }    // rows a frame is made of, the newest its own
};

using component_maker = std::unique_ptr<component> (*)(const loader & l);

component_maker find_component(const std::string & name);  // table.cpp; fails where this build has none of that name

// One maker per network, each in the file of its name.
std::unique_ptr<component> make_thinker(const loader & l);
std::unique_ptr<component> make_talker(const loader & l);
std::unique_ptr<component> make_code_predictor(const loader & l);
std::unique_ptr<component> make_codec_decoder(const loader & l);
std::unique_ptr<component> make_speaker_encoder(const loader & l);
std::unique_ptr<component> make_codec_encoder(const loader & l);
std::unique_ptr<component> make_code2wav(const loader & l);
std::unique_ptr<component> make_vision_encoder(const loader & l);
std::unique_ptr<component> make_audio_encoder(const loader & l);

} // namespace omni
