"""The trained voice as a checkpoint folder in the released layout, spoken once by the official package.

    python export.py WORK OUT

Then `pyomni convert OUT pyomni/data/demo.gguf --type q8_0 --codec f16 --no-codec-encoder`.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from sizes import CODEC, FRAME, RATE
from talker_model import Voice
from train_wave import load_codec
from transformers import MimiConfig

from qwen_tts import Qwen3TTSModel  # isort: skip
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import (  # isort: skip
    Qwen3TTSTokenizerV2Config,
)
from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Model  # isort: skip

# Sampling of the packaged voice; evaluate.py measured others. `non_streaming_mode` is the official wrapper's
# argument, which pyomni takes from here: this model only knows the streaming layout.
GENERATION = {
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 0.1,
    "top_p": 1.0,
    "top_k": 50,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.1,
    "subtalker_top_p": 1.0,
    "subtalker_top_k": 50,
    "max_new_tokens": 400,
    "non_streaming_mode": False,
}
# The official loader wants an encoder: the smallest it takes, untrained.
ENCODER = {
    "num_filters": 4,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "codebook_size": CODEC["codebook_size"],
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": CODEC["num_quantizers"],
    "num_semantic_quantizers": 1,
    "upsampling_ratios": [8, 5, 4, 4],
    "upsample_groups": 16,
    "sampling_rate": RATE,
    "_frame_rate": RATE / FRAME,
    "use_conv_shortcut": False,
    "tie_word_embeddings": False,
    "sliding_window": 250,
}


def write_codec(work: Path, out: Path) -> None:
    """`speech_tokenizer/`."""
    config = {
        "model_type": "qwen3_tts_tokenizer_12hz",
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "encoder_valid_num_quantizers": CODEC["num_quantizers"],
        "input_sample_rate": RATE,
        "output_sample_rate": RATE,
        "encode_downsample_rate": FRAME,
        "decode_upsample_rate": FRAME,
        "encoder_config": ENCODER,
        "decoder_config": CODEC,
    }
    torch.manual_seed(0)
    model = Qwen3TTSTokenizerV2Model(Qwen3TTSTokenizerV2Config(**config))
    trained = load_codec(work).decoder.state_dict()
    trained.update(torch.load(work / "wave.pt", map_location="cpu")["decoder"])
    first = trained["quantizer.rvq_first.output_proj.weight"]
    trained["quantizer.rvq_rest.output_proj.weight"] = (
        first.clone()
    )  # one matrix in training, two in the file
    missing, unexpected = model.decoder.load_state_dict(trained, strict=False)
    if missing or unexpected:
        raise RuntimeError(f"codec tensors missing {missing} or unexpected {unexpected}: none expected")
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out, safe_serialization=True)
    config["encoder_config"] = MimiConfig(**ENCODER).to_dict()  # with every key, as in the release
    (out / "config.json").write_text(json.dumps(config, indent=1))
    features = {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": RATE,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
    (out / "preprocessor_config.json").write_text(json.dumps(features, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--text", default="Hello, this is a small voice.")
    arguments = parser.parse_args()
    work, out = arguments.work, arguments.out
    voice = Voice(work)
    voice.load_state_dict(torch.load(work / "talker.pt", map_location="cpu")["mean"])
    voice.official.save_pretrained(out)
    (out / "config.json").write_text(json.dumps(voice.config, indent=1))
    (out / "generation_config.json").write_text(json.dumps(GENERATION, indent=1))
    for file in (work / "tokenizer").iterdir():
        shutil.copy(file, out)
    write_codec(work, out / "speech_tokenizer")
    model = Qwen3TTSModel.from_pretrained(str(out), dtype=torch.float32, attn_implementation="eager")
    sound, rate = model.generate_custom_voice(
        text=arguments.text, language="English", speaker="rms", non_streaming_mode=False
    )
    print(f"{out}: the official package spoke {len(sound[0]) / rate:.2f} s at {rate} Hz")


if __name__ == "__main__":
    main()
