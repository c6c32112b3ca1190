"""The random Qwen3-Omni checkpoint: the released layout and counts, the same bytes each time."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file
from tiny_omni import omni_checkpoint

from pyomni.convert import convert_files
from pyomni.convert.random_omni_gguf import write_omni_gguf
from pyomni.convert.random_omni_weights import omni_weights
from pyomni.convert.random_qwen3_omni import omni_dims, write_omni_checkpoint
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.errors import ArgumentError
from pyomni.metadata import Metadata

# tensors and parameters of Qwen3-Omni-30B-A3B-Instruct, by network
RELEASED = {
    "thinker.audio_tower.": (525, 647_927_168),
    "thinker.visual.": (351, 538_631_408),
    "thinker.": (18_867, 30_532_646_912),
    "talker.code_predictor.": (86, 141_570_304),
    "talker.": (7_951, 3_183_026_176),
    "code2wav.": (230, 216_016_577),
}


def test_at_real_sizes_names_and_shapes_are_the_releases() -> None:
    weights = omni_weights(omni_dims("30b"), 0, never=())
    assert len(weights) == len({name for name, _, _ in weights}) == 28_010
    for prefix, expected in RELEASED.items():
        mine = [prod(shape) for name, shape, _ in weights if name.startswith(prefix)]
        weights[:] = [tensor for tensor in weights if not tensor[0].startswith(prefix)]
        assert (len(mine), sum(mine)) == expected, prefix
    assert not weights


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_shards(tmp_path: Path) -> None:
    one, again = omni_checkpoint(tmp_path / "a"), omni_checkpoint(tmp_path / "b")
    names = sorted(path.name for path in one.iterdir())
    assert all((one / name).read_bytes() == (again / name).read_bytes() for name in names)
    whole = load_file(one / "model.safetensors")
    sharded = Checkpoint(omni_checkpoint(tmp_path / "c", n_shards=3))
    assert len({stored.path for stored in sharded.values()}) == 3
    for name, stored in sharded.items():
        np.testing.assert_array_equal(stored.f32().reshape(stored.shape), whole[name])
    other = load_file(omni_checkpoint(tmp_path / "d", seed=2) / "model.safetensors")
    name = "thinker.model.layers.0.mlp.experts.3.down_proj.weight"
    assert not np.array_equal(other[name], whole[name])


def test_special_tokens_never_win_and_head_rows_are_equally_long(tmp_path: Path) -> None:
    folder = omni_checkpoint(tmp_path / "a")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    head = load_file(folder / "model.safetensors")["thinker.lm_head.weight"]
    end = config["im_end_token_id"]
    assert head[end, 0] == -100
    np.testing.assert_allclose(np.linalg.norm(head[: end - 2], axis=1), 3, rtol=1e-5)
    ends = omni_checkpoint(tmp_path / "b", eos_allowed=True)
    head = load_file(ends / "model.safetensors")["thinker.lm_head.weight"]
    assert np.linalg.norm(head[end]) == pytest.approx(9, rel=1e-5)


def test_without_audio_output_there_is_no_speech(tmp_path: Path) -> None:
    folder = omni_checkpoint(tmp_path / "a", audio_output=False)
    assert all(name.startswith("thinker.") for name in Checkpoint(folder))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["enable_audio_output"] is False
    assert "talker_config" not in config


@pytest.mark.parametrize("kind", ["f32", "q4_k"])
def test_gguf_files_without_a_checkpoint_are_those_of_the_checkpoint(tmp_path: Path, kind: str) -> None:
    """But for the experts, of whose matrices a few stand for all."""
    dims = omni_dims("tiny", {"thinker.hidden": 256, "thinker.experts": 40})
    straight = write_omni_gguf(tmp_path / "a.gguf", dims, kind)
    write_omni_checkpoint(tmp_path / "hf", dims)
    for one, other in zip(straight, convert_files(tmp_path / "hf", tmp_path / "b.gguf", kind), strict=True):
        mine, theirs = Metadata.read(one), Metadata.read(other)
        differ = {key for key in theirs if mine[key] != theirs[key]}
        assert differ == {"general.name", "pyomni.checkpoint"}
        assert mine.keys() == theirs.keys()
        found = {t.name: t.data for t in GGUFReader(one).tensors}
        for tensor in GGUFReader(other).tensors:
            if "_exps." not in tensor.name:
                np.testing.assert_array_equal(found[tensor.name], tensor.data, err_msg=tensor.name)
            else:
                assert found[tensor.name].shape == tensor.data.shape
                matrices = {matrix.tobytes() for matrix in found[tensor.name]}
                assert len(matrices) == min(8, len(found[tensor.name])) or "talker" in tensor.name


@pytest.mark.parametrize("change", ["thinker.widht", "nothing.layers", "thinker"])
def test_an_unknown_size_is_named(change: str) -> None:
    with pytest.raises(ArgumentError, match=f"size '{change}' is unknown"):
        omni_dims("tiny", {change: 3})


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ArgumentError, match="accept"):
        omni_dims("tiny", {"thinker.accept": 4})
