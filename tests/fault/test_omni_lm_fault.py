"""What Qwen3-Omni's language models refuse, and the words they refuse it with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from mutate import DROP, rewrite

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.lm import CODEC, HIDDEN_ROWS, TEXT, TEXT_ROWS, DecoderLM
from pyomni.convert.json_config import Config
from pyomni.convert.omni_talker import OmniTalker
from pyomni.convert.omni_thinker import Thinker
from pyomni.convert.tensors_moe import MoeStack
from pyomni.verify import toy_omni as omni_lm

TINY = "omni_lm_tiny"
U32, ARRAY = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.ARRAY
MOE_KEYS = ("n_expert", "n_expert_used", "n_ff_expert", "n_ff_shared", "norm_topk", "rope_sections")
KEYS = [
    *(f"{component}.{key}" for component in ("thinker", "talker") for key in MOE_KEYS),
    *(f"thinker.{key}" for key in ("n_vocab", "n_deepstack", "accept_layer", "rope_theta", "n_ctx_max")),
    *(f"talker.{key}" for key in ("n_embd_thinker", "n_ff_proj", "n_groups")),
]


@pytest.fixture(scope="module")
def device() -> Device:
    return Device("cpu", 1)


@pytest.mark.parametrize("key", KEYS)
def test_missing_key_is_named(device: Device, tmp_path: Path, key: str) -> None:
    path = rewrite(omni_lm.gguf(TINY), tmp_path / "k.gguf", keys={key: DROP})
    with pytest.raises(errors.ModelFormatError, match=rf"key '{key}' is missing"):
        Model(device, path, key.partition(".")[0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("thinker.n_expert_used", (9, U32), "n_expert_used is 9 of n_expert 8, expected at most as many"),
        ("thinker.rope_sections", ([6, 5, 4], ARRAY), "rope_sections sum up to 15, expected .* 16"),
        ("thinker.n_deepstack", (5, U32), r"n_deepstack is 5, expected at most n_layer, 4"),
        ("thinker.accept_layer", (4, U32), r"accept_layer is 4, expected less than n_layer, 4"),
        ("thinker.n_expert", (7, U32), r"ffn_gate_inp.weight' has shape \[64, 8\], expected \[64, 7\]"),
        ("talker.n_ff_shared", (0, U32), r"'talker\.blk\.0\.ffn_.*shexp\.weight' is not one that .* knows"),
        ("talker.n_ff_expert", (31, U32), r"'talker\.blk\.0\.ffn_gate_exps\.weight' has shape \[64, 32, 6\]"),
    ],
)
def test_impossible_sizes(device: Device, tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = rewrite(omni_lm.gguf(TINY), tmp_path / "k.gguf", keys={key: value})
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(device, path, key.partition(".")[0])


@pytest.mark.parametrize("part", ["ffn_down_exps", "ffn_gate_inp", "ffn_gate_inp_shexp", "ffn_up_shexp"])
def test_missing_tensor_is_named(device: Device, tmp_path: Path, part: str) -> None:
    name = f"talker.blk.1.{part}.weight"
    path = rewrite(omni_lm.gguf(TINY), tmp_path / "t.gguf", tensors={name: lambda a: None})
    with pytest.raises(errors.ModelFormatError, match=rf"tensor '{name}' of shape .* is missing"):
        Model(device, path, "talker")


ROWS = np.ones((3, 64), np.float32)


@pytest.mark.parametrize(
    ("component", "call", "words"),
    [
        ("thinker", lambda lm: lm.decode(ROWS, positions=np.zeros((3, 2))), r"expected \[1, 3, 3\]"),
        ("thinker", lambda lm: lm.decode(ROWS, positions=np.full((3, 3), np.inf)), "position 0 is inf"),
        ("code_predictor", lambda lm: lm.decode(ROWS, positions=np.zeros((3, 1))), "counts them itself"),
        ("thinker", lambda lm: lm.decode(ROWS, deepstack=np.zeros((1, 3, 64))), r"expected \[1, 2, 3, 64\]"),
        ("talker", lambda lm: lm.decode(ROWS, deepstack=np.zeros((0, 3, 64))), "a component that adds none"),
        ("talker", lambda lm: lm.decode(ROWS, accepted=True), "no accepted layer"),
        ("talker", lambda lm: lm.embed(TEXT, [1]), "table 0 is not one this component has"),
        ("talker", lambda lm: lm.embed(CODEC, [-1]), "id 0 is -1"),
        ("talker", lambda lm: lm.project(2, ROWS), "projection 2, expected 0 to 1"),
        ("talker", lambda lm: lm.project(HIDDEN_ROWS, ROWS[:, 1:]), r"\[3, 63\], expected \[n, 64\]"),
        ("thinker", lambda lm: lm.project(TEXT_ROWS, ROWS), "projection 0, expected 0 to -1"),
        ("thinker", lambda lm: DecoderLM(omni_lm.model(TINY, "thinker"), 8, 1, "q4"), "kv is 'q4'"),
    ],
)  # fmt: skip
def test_refused(component: str, call: Callable[[DecoderLM], Any], words: str) -> None:
    lm = omni_lm.lm(TINY, component)
    with pytest.raises(errors.ArgumentError, match=words):
        call(lm)
    assert lm.n_past() == 0
    lm.decode(np.ones((1, lm.info.n_embd), np.float32))  # and goes on


def test_a_quantised_cache_needs_whole_blocks() -> None:
    with pytest.raises(errors.ArgumentError, match="blocks of 32, and those of 'thinker' have 24 channels"):
        omni_lm.lm("omni_lm_odd", "thinker", kv="q8_0")
    omni_lm.lm("omni_lm_odd", "thinker", kv="f16").decode(np.ones((5, 48), np.float32))


def test_experts_elsewhere(device: Device) -> None:
    with pytest.raises(errors.ArgumentError, match="experts is 'gpu', expected 'device' or 'cpu'"):
        Model(device, omni_lm.gguf(TINY), "thinker", experts="gpu")


@pytest.mark.parametrize("component", ["thinker", "talker"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_rows_stay_in_their_lane(component: str, bad: float) -> None:
    """A router that has seen no number still chooses experts there are."""
    lm = omni_lm.lm(TINY, component, n_lanes=2)
    rows = np.stack([ROWS, ROWS])
    right = lm.decode(rows[:, :1])
    rows[1] = bad
    for n in (1, 3):
        lm.rewind(0)
        lm.rewind(1)
        step = lm.decode(rows[:, :n])
        assert np.isfinite(step.logits[0]).all()
        if n == 1:
            np.testing.assert_array_equal(step.logits[0], right.logits[0])


# --- conversion -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "value", "error", "words"),
    [
        (("num_experts_per_tok",), 9, errors.ModelFormatError, "num_experts_per_tok"),
        (("num_experts",), None, errors.ModelFormatError, "num_experts"),
        (("norm_topk_prob",), None, errors.ModelFormatError, "norm_topk_prob"),
        (("moe_intermediate_size",), 0, errors.ModelFormatError, "moe_intermediate_size"),
        (("shared_expert_intermediate_size",), -1, errors.ModelFormatError, "shared_expert"),
        (("mlp_only_layers",), [1], errors.UnsupportedModel, "layers without experts"),
        (("decoder_sparse_step",), 2, errors.UnsupportedModel, "layers without experts"),
        (("rope_scaling",), None, errors.ModelFormatError, "rope_scaling"),
        (("rope_scaling", "mrope_section"), [8, 8], errors.ModelFormatError, "three numbers .* 16"),
        (("rope_scaling", "mrope_section"), [6, 5, 4], errors.ModelFormatError, "three numbers .* 16"),
        (("rope_scaling", "mrope_interleaved"), False, errors.UnsupportedModel, "mrope_interleaved is false"),
        (("rope_scaling", "rope_type"), "yarn", errors.UnsupportedModel, "'yarn', expected 'default'"),
    ],
)  # fmt: skip
def test_stack_configuration(way: tuple[str, ...], value: Any, error: type[Exception], words: str) -> None:
    config = _config("thinker_config", "text_config", *way, value=value)
    with pytest.raises(error, match=words):
        MoeStack.read(config.sub("thinker_config").sub("text_config"))


@pytest.mark.parametrize(
    ("read", "way", "value", "words"),
    [
        (Thinker.read, ("talker_config", "accept_hidden_layer"), 4, "from 1 to 3"),
        (Thinker.read, ("talker_config", "accept_hidden_layer"), None, "accept_hidden_layer"),
        (Thinker.read, ("thinker_config", "vision_config", "deepstack_visual_indexes"), 3, "at most 4"),
        (OmniTalker.read, ("talker_config", "thinker_hidden_size"), 65, "the thinker's hidden_size, 64"),
        (OmniTalker.read, ("talker_config", "num_code_groups"), 1, "from 2"),
    ],
)  # fmt: skip
def test_configuration(read: Callable[[Config], Any], way: tuple[str, ...], value: Any, words: str) -> None:
    with pytest.raises(errors.ModelFormatError, match=words):
        read(_config(*way, value=value))


def test_a_thinker_alone() -> None:
    """-Thinking and -Captioner have no talker, whatever is left of its configuration."""
    thinker = Thinker.read(_config("enable_audio_output", value=False))
    assert thinker.accept_layer == 0


def _config(*way: str, value: Any) -> Config:
    top = json.loads((omni_lm.folder(TINY) / "config.json").read_text())
    node = top
    for key in way[:-1]:
        node = node[key]
    node[way[-1]] = value
    return Config(Path("config.json"), top)
