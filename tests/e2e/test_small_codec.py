"""A codec stored as F16, and defaults that a checkpoint brings along."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from mutate import rewrite
from tiny import tiny_checkpoint

import pyomni
from pyomni import errors
from pyomni.convert import convert
from pyomni.metadata import SpeechMetadata

CODES = np.arange(24, dtype=np.int32).reshape(6, 4) % 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("half") / "tiny", "custom_voice", n_groups=4)


def test_it_is_half_the_size_and_decodes_as_its_rounded_weights(folder: Path, tmp_path: Path):
    whole, half = (convert(folder, tmp_path / f"{kind}.gguf", "f32", codec=kind) for kind in ("f32", "f16"))
    stored = {t.name: t for t in GGUFReader(half).tensors if t.name.startswith("codec_decoder.")}
    kinds = {t.tensor_type for t in stored.values()}
    assert kinds == {GGMLQuantizationType.F16, GGMLQuantizationType.F32}
    for name, t in stored.items():
        wide = len(t.shape) > 1 and ".book." not in name
        assert (t.tensor_type == GGMLQuantizationType.F16) == wide, name
    assert half.stat().st_size < whole.stat().st_size
    rounded = rewrite(
        whole,
        tmp_path / "rounded.gguf",
        tensors={
            name: lambda a: a.astype(np.float16).astype(np.float32)
            for name, t in stored.items()
            if t.tensor_type == GGMLQuantizationType.F16
        },
    )
    sounds = []
    for path in (whole, half, rounded):
        with pyomni.load(path, device="cpu", threads=1) as model:
            sounds.append(model.decode(CODES))
    assert np.array_equal(sounds[1], sounds[2])
    assert not np.array_equal(sounds[0], sounds[1])
    assert np.abs(sounds[0] - sounds[1]).max() < 0.02 * np.abs(sounds[0]).max()


def test_another_type_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(errors.ArgumentError, match="the codec's type is 'q8_0', expected f32 or f16"):
        convert(folder, tmp_path / "x.gguf", "f32", codec="q8_0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("given", "expected"), [(None, False), (True, False), (False, True)])
def test_a_checkpoint_names_its_text_layout(folder: Path, tmp_path: Path, given: bool | None, expected: bool):
    path = folder / "generation_config.json"
    before = path.read_text()
    try:
        values = json.loads(before)
        path.write_text(json.dumps(values if given is None else {**values, "non_streaming_mode": given}))
        out = convert(folder, tmp_path / "x.gguf", "f32")
    finally:
        path.write_text(before)
    assert SpeechMetadata.read(out).streaming_layout is expected


def test_the_codec_encoder_can_be_left_out(folder: Path, tmp_path: Path):
    whole = convert(folder, tmp_path / "a.gguf", "f32")
    less = convert(folder, tmp_path / "b.gguf", "f32", encoder=False)
    assert [t.name for t in GGUFReader(whole).tensors if not t.name.startswith("codec_encoder.")] == [
        t.name for t in GGUFReader(less).tensors
    ]
    assert not [key for key in GGUFReader(less).fields if key.startswith("codec_encoder.")]
    with pyomni.load(whole, threads=1) as one, pyomni.load(less, threads=1) as other:
        assert np.array_equal(one.decode(CODES), other.decode(CODES))
        with pytest.raises(errors.UnsupportedModel, match="codec_encoder"):
            other.encode(np.ones(4000, np.float32), other.sample_rate)


def test_a_base_model_keeps_its_encoder(tmp_path: Path):
    base = tiny_checkpoint(tmp_path / "base", "base", n_groups=4)
    with pytest.raises(errors.ArgumentError, match="codec encoder of a base model"):
        convert(base, tmp_path / "x.gguf", "f32", encoder=False)
    assert not (tmp_path / "x.gguf").exists()
