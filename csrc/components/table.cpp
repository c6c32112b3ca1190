#include "components/component.h"

#include "core/error.h"

namespace omni {

struct component_entry {
    const char *    name;
    component_maker make;
};

static const component_entry table[] = {
    {"thinker", make_thinker},
    {"talker", make_talker},
    {"code_predictor", make_code_predictor},
    {"codec_decoder", make_codec_decoder},
    {"speaker_encoder", make_speaker_encoder},
    {"codec_encoder", make_codec_encoder},
    {"code2wav", make_code2wav},
    {"vision_encoder", make_vision_encoder},
    {"audio_encoder", make_audio_encoder},
};

component_maker find_component(const std::string & name) {
    for (const component_entry & e : table) {
        if (name == e.name) {
            return e.make;
        }
    }
    std::string known;
    for (const component_entry & e : table) {
        known += (known.empty() ? "" : ", ") + std::string(e.name);
    }
    fail(OMNI_ERROR_UNSUPPORTED, "this build cannot run a component '%s'; it knows: %s", name.c_str(), known.c_str());
}

} // namespace omni
