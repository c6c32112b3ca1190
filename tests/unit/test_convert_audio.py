"""The plan of the audio encoder: the released sizes, and what is refused."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest

from pyomni.convert.json_config import Config
from pyomni.convert.omni_audio import AudioEncoder
from pyomni.errors import ModelFormatError, UnsupportedModel

AUDIO = {
    "d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120,
    "num_mel_bins": 128, "n_window": 50, "n_window_infer": 800, "downsample_hidden_size": 480,
    "output_dim": 2048, "max_source_positions": 1500, "activation_function": "gelu",
}  # fmt: skip
PREPROCESSOR = {"feature_size": 128, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400}


def read(audio: dict[str, Any] | None = None, preprocessor: dict[str, Any] | None = None) -> AudioEncoder:
    config = Config(Path("config.json"), {"thinker_config": {"audio_config": AUDIO | (audio or {})}})
    return AudioEncoder.read(
        config, Config(Path("preprocessor_config.json"), PREPROCESSOR | (preprocessor or {}))
    )


def test_the_released_sizes() -> None:
    plan = read().tensors()
    sources = [source for planned in plan for source in planned.sources]
    assert len(sources) == len({source.name for source in sources}) == 525
    assert sum(prod(source.shape) for source in sources) == 647_927_168
    assert sum(planned.n_elements for planned in plan) == 647_927_168
    keys = read().keys()
    assert (keys["audio_encoder.chunk"], keys["audio_encoder.window_chunks"]) == (100, 8)
    assert keys["audio_encoder.head_dim"] == 64


@pytest.mark.parametrize(
    ("audio", "preprocessor", "words"),
    [
        ({"d_model": None}, {}, "audio_config.d_model' is null, expected"),
        ({"n_window_infer": 99}, {}, "n_window_infer' is 99, expected a whole number from 100"),
        ({"encoder_attention_heads": 3}, {}, "d_model' is 1280, expected .* a multiple of the heads, 3"),
        ({"d_model": 1285, "encoder_attention_heads": 5}, {}, "d_model' is 1285, expected an even number"),
        (
            {"num_mel_bins": 80},
            {},
            "num_mel_bins' is 80, expected feature_size of preprocessor_config.json, 128",
        ),
        ({"max_source_positions": 12}, {}, "max_source_positions' is 12, expected 13 or more"),
        ({}, {"sampling_rate": 8000}, "preprocessor_config.json: 'sampling_rate' is 8000"),
        ({}, {"hop_length": None}, "'hop_length' is null"),
    ],
)
def test_sizes_that_cannot_be(audio: dict[str, Any], preprocessor: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFormatError, match=words):
        read(audio, preprocessor)


def test_another_activation() -> None:
    with pytest.raises(UnsupportedModel, match="activation_function is 'relu', expected 'gelu'"):
        read({"activation_function": "relu"})
