"""Making importance matrices: a model works through texts, and what goes into each matrix is summed up.

Sessions of the language models are listened to through taps (`csrc/blocks/linear.h`), so whatever the
pipelines make of a text is what is measured. A frame's groups are filled one by one meanwhile, as
`predict_groups` defines them, since one graph for all of them would keep only the last group's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyomni.api import OmniModel, load
from pyomni.components.lm import CODEC, DecoderLM, Step
from pyomni.convert.policy import Role, role_of
from pyomni.errors import ArgumentError
from pyomni.metadata import Metadata
from pyomni.options import Draw, SpeechOptions
from pyomni.quantize.files import checkpoint_of
from pyomni.quantize.importance import ImportanceFile, Seen
from pyomni.sampling import pick

__all__ = ["Listener", "collect"]

F32 = npt.NDArray[np.float32]
PIECE = 64  # rows of a call: no more than one graph takes, whatever the past
Progress = Callable[[int, int], object]


def collect(
    path: str | Path,
    texts: Sequence[str],
    *,
    dataset: str = "",
    seed: int = 1,
    max_frames: int | None = None,
    voice: str | None = None,
    language: str | None = None,
    instruct: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> ImportanceFile:
    """Let a model speak texts, or answer them where it converses, and sum up the inputs of its matrices.

    Parameters
    ----------
    path : a model file, of any type; f32 and bf16 tell the most
    texts : what to say or answer, at least one
    dataset : name of the texts, for the file
    seed : of the first text; each one's is its number more
    max_frames : of each text, and for a model that converses the tokens of an answer as well
    voice, language, instruct : as `SpeechModel.speak`
    device, threads : as `pyomni.load`
    progress : called as ``progress(texts_done, texts_in_all)``

    Raises
    ------
    ArgumentError
        No texts, or one that cannot be said.
    Others as `pyomni.load` and `SpeechModel.speak`.
    """
    if not texts:
        raise ArgumentError("no texts were given, expected one or more to speak")
    model = load(path, device=device, threads=threads)
    with model:
        conversing = isinstance(model, OmniModel)
        headers = [Metadata.read(path) for path in model._weights.files()]
        listener = Listener(headers)
        model._weights.watch = listener.watch
        for i, text in enumerate(texts):
            options = SpeechOptions(seed=seed + i, max_frames=max_frames)
            if conversing:
                _answer(model, text, seed + i, max_frames, voice, options)
            else:
                for _ in model.codes(
                    text, voice=voice, language=language, instruct=instruct, options=options
                ):
                    pass  # codes alone: no matrix of a codec is quantised
            if progress:
                progress(i + 1, len(texts))
    return ImportanceFile(listener.seen(), dataset, len(texts), checkpoint_of(headers[0]))


def _answer(
    model: OmniModel, text: str, seed: int, n: int | None, voice: str | None, options: SpeechOptions
) -> None:
    from pyomni.chat_options import ChatOptions

    chat = ChatOptions(seed=seed, max_tokens=n)
    question = [{"role": "user", "content": text}]
    speak = model._weights.has("talker")
    model.reply(question, speak=speak, voice=voice, options=chat, speech_options=options)


class Listener:
    """Sums over what the language models of one model are given.

    Parameters
    ----------
    headers : of the model's files, one architecture
    """

    def __init__(self, headers: Sequence[Metadata]) -> None:
        self._sums: dict[str, npt.NDArray[np.float64]] = {}  # [n_matrices, n_in]
        self._counts: dict[str, npt.NDArray[np.int64]] = {}  # [n_matrices]
        self._open: dict[str, _Listened] = {}
        for m in headers:
            arch = m.str("general.architecture")
            for info in m.tensors:
                if len(info.shape) > 1 and role_of(arch, info.name) not in (Role.FLOAT, Role.TABLE):
                    n = info.shape[2] if len(info.shape) > 2 else 1
                    self._sums[info.name] = np.zeros((n, info.shape[0]))
                    self._counts[info.name] = np.zeros(n, np.int64)

    def watch(self, name: str, lm: DecoderLM) -> DecoderLM:
        """Return a session of the component `name` that does as `lm`, listened to."""
        matrices = [one for one in self._sums if one.partition(".")[0] == name]
        self._open[name] = listened = _Listened(lm, matrices, self._add, self._open)
        return listened

    def seen(self) -> dict[str, Seen]:
        """What went into each matrix that was used."""
        return {
            name: Seen(sums.astype(np.float32), self._counts[name].astype(np.float32))
            for name, sums in self._sums.items()
            if self._counts[name].any()
        }

    def _add(self, name: str, inputs: F32, chosen: npt.NDArray[np.int32] | None) -> None:
        """Count the inputs of a run, rows one after the other.

        Of experts there are either rows for all that were chosen, or one for each of them.
        """
        sums, counts = self._sums[name], self._counts[name]
        squares = np.square(inputs.reshape(-1, sums.shape[1]), dtype=np.float64)
        if chosen is None:
            sums[0] += squares.sum(0)
            counts[0] += len(squares)
            return
        for experts, row in zip(chosen.reshape(len(squares), -1), squares, strict=True):
            sums[experts] += row  # the experts of a row are different ones
            counts[experts] += 1


class _Listened(DecoderLM):
    """A language model whose matrices' inputs are handed on after each run; one lane."""

    def __init__(
        self,
        lm: DecoderLM,
        matrices: Sequence[str],
        add: Callable[[str, F32, npt.NDArray[np.int32] | None], None],
        others: dict[str, _Listened],
    ) -> None:
        self.session, self.info, self.n_ctx, self.n_lanes = lm.session, lm.info, lm.n_ctx, lm.n_lanes
        self.joins = lm.joins
        self._add, self._others = add, others
        self._matrices = {one: _router(one) for one in matrices}
        self._there: dict[
            tuple[str, int], list[str]
        ] = {}  # matrices in the graph of a verb, and table or head
        for one, router in self._matrices.items():
            self.session.tap(f"{one}.in")
            if router:
                self.session.tap(f"{router}.chosen")

    def embed(self, table: int, ids: npt.ArrayLike) -> F32:
        rows = super().embed(table, ids)
        if len(rows):
            self._listen("embed", table)
        return rows

    def project(self, which: int, rows: npt.ArrayLike) -> F32:
        made = super().project(which, rows)
        if len(made):
            self._listen("project", which)
        return made

    def decode(
        self,
        rows: npt.ArrayLike,
        *,
        lanes: Sequence[int] | None = None,
        head: int = 0,
        positions: npt.ArrayLike | None = None,
        deepstack: npt.ArrayLike | None = None,
        accepted: bool = False,
    ) -> Step:
        whole = np.asarray(rows, np.float32)
        places = None if positions is None else np.asarray(positions, np.float32)
        levels = None if deepstack is None else np.asarray(deepstack, np.float32)
        steps = []
        for begin in range(0, whole.shape[-2], PIECE):
            at = (..., slice(begin, begin + PIECE), slice(None))  # rows are the last axis but one of each
            steps.append(
                super().decode(
                    whole[at],
                    lanes=lanes,
                    head=head,
                    positions=None if places is None else places[at],
                    deepstack=None if levels is None else levels[at],
                    accepted=accepted,
                )
            )
            self._listen("decode", head)
        behind = [step.accepted for step in steps if step.accepted is not None]
        return steps[-1]._replace(accepted=np.concatenate(behind, axis=1) if behind else None)

    def groups(
        self,
        hidden: npt.ArrayLike,
        code0: npt.ArrayLike,
        *,
        temperature: float,
        top_k: int,
        top_p: float,
        uniforms: npt.ArrayLike | None = None,
    ) -> tuple[npt.NDArray[np.int32], F32]:
        """Fill a frame group by group (`pyomni.pipelines.speech.predict_groups`), and sum its embeddings."""
        draw, n = Draw(temperature, top_k, top_p), self.info.n_groups
        numbers = np.zeros(n - 1) if uniforms is None else np.asarray(uniforms, np.float64)[0]
        codes = [int(np.asarray(code0)[0])]
        row = self._others["talker"].embed(CODEC, codes)[0]
        total, rows = row.copy(), np.stack([np.asarray(hidden, np.float32)[0], row])
        self.rewind()
        for group in range(1, n):
            logits = self.decode(rows, head=group - 1).logits[0]
            codes.append(pick(logits, draw, float(numbers[group - 1])))
            rows = self.embed(group - 1, codes[-1:])
            total += rows[0]
        return np.array([codes], np.int32), total[None]

    def _listen(self, verb: str, which: int) -> None:
        key = verb, which
        if key not in self._there:
            self._there[key] = [one for one in self._matrices if self._read(one) is not None]
        for one in self._there[key]:
            rows = self._read(one)
            assert rows is not None
            self._add(one, *rows)

    def _read(self, name: str) -> tuple[F32, npt.NDArray[np.int32] | None] | None:
        """The matrix's input rows in the last run, and which experts each went to; None where it has none."""
        router = self._matrices[name]
        try:
            flat = self.session.read_tap(f"{name}.in")
            chosen = self.session.read_tap(f"{router}.chosen").view(np.int32) if router else None
        except ArgumentError:
            return None
        return flat, chosen


def _router(matrix: str) -> str | None:
    """The router that says which of the matrices of stacked experts a row goes through."""
    layer, stacked, _ = matrix.rpartition(".ffn_") if matrix.endswith("_exps.weight") else ("", "", "")
    return f"{layer}.ffn_gate_inp.weight" if stacked else None
