"""Importance matrices are of what went through the model, and what is made with one is nearer to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, dequantize
from tiny import tiny_gguf
from tiny_omni import omni_gguf

import pyomni
from pyomni._binding import quantize
from pyomni.api import SpeechModel
from pyomni.cli import main
from pyomni.components.lm import DecoderLM, Step
from pyomni.imatrix import PIECE, Listener, collect
from pyomni.metadata import Metadata
from pyomni.quantize import quantize_files
from pyomni.quantize.importance import ImportanceFile, Seen, read_importance, write_importance

TEXTS = ["Hello there.", "One two three four."]
SPEECH = {"hidden": 256, "ff": 256, "n_groups": 4}
OMNI = {"thinker__hidden": 256, "thinker__expert_ff": 256, "talker__hidden": 256, "talker__expert_ff": 96}
FRAMES = 5


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("speech") / "f32.gguf", **SPEECH)


@pytest.fixture(scope="module")
def made(speech: Path) -> ImportanceFile:
    return collect(speech, TEXTS, dataset="two", max_frames=FRAMES, device="cpu", threads=1)


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return omni_gguf(tmp_path_factory.mktemp("omni") / "f32.gguf", **OMNI)


class Heard(DecoderLM):
    """A talker that keeps the hidden rows it hands out: the inputs of its head."""

    def __init__(self, lm: DecoderLM, hidden: list[np.ndarray]) -> None:
        self.__dict__.update(lm.__dict__)
        self.hidden, self.lm = hidden, lm

    def decode(self, *args, **given) -> Step:
        step = self.lm.decode(*args, **given)
        self.hidden.append(step.hidden[0].astype(np.float64))
        return step

    def embed(self, table, ids):
        return self.lm.embed(table, ids)

    def groups(self, *args, **given):
        return self.lm.groups(*args, **given)


def test_sums_are_of_what_went_in_and_listening_changes_nothing(speech: Path) -> None:
    options = pyomni.SpeechOptions(seed=3, max_frames=FRAMES)
    with SpeechModel(speech, device="cpu", threads=1) as model:
        alone = [codes.copy() for codes in model.codes(TEXTS[0], options=options)]
    listener, hidden = Listener([Metadata.read(speech)]), []
    with SpeechModel(speech, device="cpu", threads=1) as model:

        def watch(name: str, lm: DecoderLM) -> DecoderLM:
            listened = listener.watch(name, lm)
            return Heard(listened, hidden) if name == "talker" else listened

        model._weights.watch = watch
        np.testing.assert_array_equal(list(model.codes(TEXTS[0], options=options)), alone)
    seen = listener.seen()
    head = seen["talker.codec_head.weight"]
    assert head.counts == len(hidden) == FRAMES + 1  # the prompt, then each frame
    np.testing.assert_allclose(head.sums[0], np.square(hidden).sum(0), rtol=1e-5)
    # query, key and value see the same rows, of the prompt as well; the output projection as many
    layer = "talker.blk.1.attn_{}.weight"
    np.testing.assert_array_equal(seen[layer.format("q")].sums, seen[layer.format("v")].sums)
    assert seen[layer.format("output")].counts == seen[layer.format("q")].counts > FRAMES + 5
    # a frame of four groups is two positions, then one and one; the first head meets the first alone
    assert seen["code_predictor.blk.0.ffn_gate.weight"].counts == FRAMES * 4
    assert seen["code_predictor.codec_head.2.weight"].counts == FRAMES


def test_long_prompts_are_heard_whole(speech: Path) -> None:
    text = "Hello there, " * 20
    made = collect(speech, [text], max_frames=1, device="cpu", threads=1)
    with SpeechModel(speech, device="cpu", threads=1) as model:
        stream = model.stream(text, options=pyomni.SpeechOptions(seed=1, max_frames=1))
        for _ in stream:
            pass
        assert stream.timings.n_prefill > 2 * PIECE
        whole = stream.timings.n_prefill + 1
    assert made.seen["talker.blk.0.ffn_up.weight"].counts == whole


def test_every_expert_is_counted_by_itself(omni: Path) -> None:
    made = collect(omni, TEXTS, max_frames=FRAMES, device="cpu", threads=1)
    header = Metadata.read(omni)
    used = header.u32("thinker.n_expert_used")
    rows = made.seen["thinker.blk.0.attn_q.weight"].counts[0]
    for part in ("gate", "up", "down"):
        experts = made.seen[f"thinker.blk.0.ffn_{part}_exps.weight"]
        assert len(experts.counts) == header.u32("thinker.n_expert")
        assert experts.counts.sum() == rows * used
        assert len(set(experts.counts)) > 1
    # what all experts of a layer were given, each row `used` times, is what the shared expert was given once
    shared = made.seen["talker.blk.1.ffn_gate_shexp.weight"].sums[0]
    routed = made.seen["talker.blk.1.ffn_gate_exps.weight"].sums.sum(0)
    talker = Metadata.read(omni.with_name("f32.speech.gguf"))
    np.testing.assert_allclose(routed, shared * talker.u32("talker.n_expert_used"), rtol=1e-5)
    assert made.checkpoint == header.str("pyomni.checkpoint")


def test_files_keep_every_number(made: ImportanceFile, tmp_path: Path) -> None:
    write_importance(tmp_path / "i.gguf", made)
    found = read_importance(tmp_path / "i.gguf")
    assert (found.dataset, found.n_texts, found.checkpoint) == ("two", 2, made.checkpoint)
    assert list(found.seen) == sorted(made.seen)
    for name, seen in found.seen.items():
        np.testing.assert_array_equal(seen.sums, made.seen[name].sums)
        np.testing.assert_array_equal(seen.counts, made.seen[name].counts)
    stored = {t.name: t for t in GGUFReader(tmp_path / "i.gguf").tensors}  # the layout of llama.cpp
    assert stored["talker.codec_head.weight.in_sum2"].shape.tolist() == [256, 1]
    assert stored["talker.codec_head.weight.counts"].shape.tolist() == [1, 1]


def test_columns_and_experts_that_were_never_used() -> None:
    sums = np.array([[4, 0, 8], [0, 0, 0]], np.float32)
    found = Seen(sums, np.array([2, 0], np.float32)).importance()
    np.testing.assert_allclose(found[0], [2, 2e-6, 4], rtol=1e-6)
    np.testing.assert_array_equal(found[1], 1)


def weighted_error(path: Path, exact: Path, name: str, importance: np.ndarray) -> float:
    """Squared errors of a tensor, each times its column's importance; importance [n_matrices, n_in]."""
    stored = {t.name: t for t in GGUFReader(path).tensors}[name]
    whole = {t.name: t for t in GGUFReader(exact).tensors}[name].data
    error = np.square(dequantize(stored.data, stored.tensor_type) - whole, dtype=np.float64)
    return float((error.reshape(len(importance), -1, importance.shape[1]) * importance[:, None]).sum())


@pytest.mark.parametrize("kind", ["q6_k", "q5_k", "q4_k", "q4_0", "iq4_nl"])
def test_errors_are_smaller_where_it_matters(
    speech: Path, made: ImportanceFile, tmp_path: Path, kind: str
) -> None:
    write_importance(tmp_path / "i.gguf", made)
    [plain] = quantize_files(speech, tmp_path / "plain.gguf", kind)
    [better] = quantize_files(speech, tmp_path / "better.gguf", kind, imatrix=tmp_path / "i.gguf")
    layouts = [[(t.name, t.type, t.shape) for t in Metadata.read(path).tensors] for path in (plain, better)]
    assert layouts[0] == layouts[1], "types and sizes stay"
    for name in ("talker.blk.0.ffn_gate.weight", "talker.blk.1.ffn_down.weight"):
        weights = made.seen[name].importance()
        assert weighted_error(better, speech, name, weights) < 0.97 * weighted_error(
            plain, speech, name, weights
        )
    m = Metadata.read(better)
    assert m.str("quantize.imatrix.file") == "i.gguf"
    assert m.str("quantize.imatrix.dataset") == "two"
    assert m.u32("quantize.imatrix.chunks_count") == 2
    [again] = quantize_files(better, tmp_path / "again.gguf", "q8_0", allow_requantize=True)
    assert not [key for key in Metadata.read(again) if key.startswith("quantize.")]


def test_each_expert_has_its_own_importances(omni: Path, tmp_path: Path) -> None:
    name = "thinker.blk.0.ffn_up_exps.weight"
    sums = np.random.default_rng(0).gamma(0.1, 1, (8, 256)).astype(np.float32)
    seen = Seen(sums, np.ones(8, np.float32))
    write_importance(tmp_path / "i.gguf", ImportanceFile({name: seen}, "drawn", 1))
    [better, *_] = quantize_files(omni, tmp_path / "q.gguf", "q4_k", imatrix=tmp_path / "i.gguf")
    stored = {t.name: t for t in GGUFReader(better).tensors}[name]
    whole = {t.name: t for t in GGUFReader(omni).tensors}[name].data
    for expert, importance in enumerate(seen.importance()):
        expected = quantize("q4_k", whole[expert], importance)
        np.testing.assert_array_equal(stored.data[expert], expected.reshape(stored.data[expert].shape))


def test_the_command_line_makes_one_and_uses_it(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("Hello there.\n\nOne two three four.\n")
    file, out = str(tmp_path / "i.gguf"), str(tmp_path / "q.gguf")
    limits = ("--max-frames", str(FRAMES), "-t", "1", "--device", "cpu")
    assert main(["imatrix", str(speech), str(tmp_path / "texts.txt"), "-o", file, *limits, "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["output"], line["texts"]) == (file, 2)
    assert line["matrices"] == len(read_importance(file).seen)
    assert main(["quantize", str(speech), out, "q4_k", "--imatrix", file]) == 0
    assert capsys.readouterr().out == f"{out}: {Path(out).stat().st_size / 1e6:.1f} MB, q4_k\n"
    with pyomni.load(out, device="cpu", threads=1) as model:
        assert model.speak("Hello.", options=pyomni.SpeechOptions(seed=7, max_frames=3)).codes.shape == (3, 4)


def test_q8_0_has_nothing_to_search() -> None:
    x = np.random.default_rng(1).standard_normal((3, 256)).astype(np.float32)
    weights = np.linspace(0.1, 9, 256, dtype=np.float32)
    np.testing.assert_array_equal(quantize("q8_0", x), quantize("q8_0", x, weights))
    assert (quantize("q4_k", x) != quantize("q4_k", x, weights)).any()
