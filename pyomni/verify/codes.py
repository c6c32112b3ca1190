"""A real model against greedy codes that the official package gave for it, recorded in a file.

``MODEL.codes.npz`` lies beside ``MODEL.gguf``. `tools/record_codes.py` writes one, with the official package;
it serves files of any type. Its arrays, with n frames and G groups of prompt p:

| array | shape | what |
|---|---|---|
| ``about`` | text | JSON: ``format``, ``checkpoint``, ``package``, ``pcm_step``, ``prompts`` |
| ``codes.{p}`` | int [n, G] | of a greedy run, float32 |
| ``margin.{p}`` | float32 [n, G] | distance of the best two scores at each choice |
| ``pcm.{p}`` | float32 [n * hop / pcm_step] | every so manyth sample the official codec made; may be absent |

``checkpoint`` is `checkpoint_fingerprint`, which files of all types share. A prompt has ``text``,
``speaker``, ``language``, ``instruct`` and ``streaming``, as `toy_speech.Prompt`.

A choice counts where the best two scores are further apart than rounding can move them. In float32 every one
of those has to be equal, and so has a free run but for what follows a choice that does not count. Of other
types, whose weights are rounded, choices are compared one by one with the official codes before them, and a
share may differ.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device
from pyomni.components.lm import CODEC
from pyomni.errors import ArgumentError, ModelFileError
from pyomni.metadata import SpeechMetadata, checkpoint_fingerprint
from pyomni.sampling import restrict
from pyomni.verify.speech_engine import Ours
from pyomni.verify.toy_speech import Prompt
from pyomni.verify.toys import Row

__all__ = ["FORMAT", "Reference", "beside", "check", "run_codes"]

FORMAT = 1
SUFFIX = ".codes.npz"
#: A margin that rounding of float32 cannot cross at the released sizes: logits there are within 1.4e-5.
DECIDED = 1e-3
#: By type, the share of choices that may differ; toys with random weights reach half of it (docs/parity.md).
CHOICES = {"f32": 0.0, "f16": 0.02, "bf16": 0.05, "q8_0": 0.15, "q6_k": 0.2, "q5_k": 0.3}
CHOICES |= dict.fromkeys(("q4_k", "q4_0", "iq4_nl"), 0.4)
#: Largest difference of samples: -80 dB of full scale. The codec is float32 in every type.
SAMPLES = 1e-4


@dataclass(frozen=True)
class Reference:
    """What the official package did with one checkpoint.

    Attributes
    ----------
    path : Path
    checkpoint : str
        `checkpoint_fingerprint` of its files.
    package : str
        Who recorded it.
    prompts : tuple of Prompt
    codes, margins : tuple of int32 and of float32 [n, G]
        By prompt.
    pcm : tuple of float32 [m] or None
        By prompt, every `pcm_step`th sample.
    pcm_step : int
    """

    path: Path
    checkpoint: str
    package: str
    prompts: tuple[Prompt, ...]
    codes: tuple[NDArray[np.int32], ...]
    margins: tuple[NDArray[np.float32], ...]
    pcm: tuple[NDArray[np.float32] | None, ...]
    pcm_step: int

    @classmethod
    def read(cls, path: str | Path) -> Reference:
        """Read one.

        Raises
        ------
        ModelFileError
            It cannot be read.
        ArgumentError
            It is no such file, damaged, or of a newer pyomni.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: dict[str, NDArray[Any]] = dict(stored)
            about = json.loads(str(arrays["about"]))
            if about["format"] > FORMAT:
                raise ArgumentError(
                    f"{path}: is of format {about['format']}, expected {FORMAT} or less: a newer pyomni's"
                )
            prompts = tuple(Prompt(**prompt) for prompt in about["prompts"])
            n = range(len(prompts))
            found = cls(
                path,
                str(about["checkpoint"]),
                str(about["package"]),
                prompts,
                tuple(np.asarray(arrays[f"codes.{p}"], np.int32) for p in n),
                tuple(np.asarray(arrays[f"margin.{p}"], np.float32) for p in n),
                tuple(arrays.get(f"pcm.{p}") for p in n),
                int(about["pcm_step"]),
            )
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, ArgumentError):
                raise
            raise ArgumentError(
                f"{path}: is not a file of recorded codes ({type(error).__name__}: {error}), expected one "
                "that tools/record_codes.py wrote"
            ) from error
        for codes, margins in zip(found.codes, found.margins, strict=True):
            if codes.ndim != 2 or not codes.size or codes.shape != margins.shape:
                raise ArgumentError(
                    f"{path}: codes of shape {list(codes.shape)} with margins of {list(margins.shape)}, "
                    "expected both [n_frames, n_groups]"
                )
        return found

    def write(self) -> None:
        """Write it to `path`."""
        about = {
            "format": FORMAT,
            "checkpoint": self.checkpoint,
            "package": self.package,
            "pcm_step": self.pcm_step,
            "prompts": [vars(prompt) for prompt in self.prompts],
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about))}
        for p, (codes, margins, pcm) in enumerate(zip(self.codes, self.margins, self.pcm, strict=True)):
            arrays |= {f"codes.{p}": codes.astype(np.int16), f"margin.{p}": margins}
            if pcm is not None:
                arrays[f"pcm.{p}"] = pcm
        with self.path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def beside(model: Path) -> Path:
    """Return where a model's recorded codes lie: ``a/x.q8_0.gguf`` has them in ``a/x.q8_0.codes.npz``."""
    return model.with_name(model.name.removesuffix(".gguf") + SUFFIX)


def run_codes(meta: SpeechMetadata, reference: Reference, device: Device) -> Iterator[Row]:
    """Compare a model with recorded codes, and yield the rows.

    Raises
    ------
    ArgumentError
        The codes are of another checkpoint, or of prompts this model cannot be given.
    PyOmniError
        It cannot be loaded or run.
    """
    check(meta, reference)
    kind = meta.meta.str("pyomni.type")
    most = CHOICES.get(kind, max(CHOICES.values()))
    n_frames = max(map(len, reference.codes))
    ours = Ours(meta.meta.path, n_ctx=min(meta.n_ctx_max, 2048 + n_frames), device=device)
    first, others, runs = [], [], []
    for p, (prompt, codes, margins) in enumerate(
        zip(reference.prompts, reference.codes, reference.margins, strict=True)
    ):
        same, counts = _forced(ours, prompt, codes) == codes, margins > DECIDED
        first.append((same[:, 0], counts[:, 0]))
        others.append((same[:, 1:], counts[:, 1:]))
        if kind == "f32":
            runs.append(_free_run(p, ours.greedy(prompt, len(codes)), codes, counts))
    for component, stage, made in (
        ("talker", "code group 0, forced", first),
        ("code predictor", "other groups, forced", others),
    ):
        same = np.concatenate([s.ravel() for s, _ in made])
        counts = np.concatenate([c.ravel() for _, c in made])
        apart = float((~same & counts).sum()) / max(int(counts.sum()), 1)
        detail = f"{int((~same & counts).sum())} of {int(counts.sum())} choices"
        yield Row(component, stage, apart, most, True, detail)
    if runs:
        yield max(runs, key=lambda row: row.reached)
    yield from _samples(ours, reference)


def check(meta: SpeechMetadata, reference: Reference) -> None:
    """See that codes are of this model's checkpoint, before anything is loaded.

    Raises
    ------
    ArgumentError
        They are of another, or of prompts the model cannot be given.
    """
    found = checkpoint_fingerprint(meta.meta)
    if found != reference.checkpoint:
        raise ArgumentError(
            f"{reference.path}: is of checkpoint {reference.checkpoint}, expected {found}, "
            f"that of {meta.meta.path}"
        )
    for prompt, codes in zip(reference.prompts, reference.codes, strict=True):
        if prompt.speaker and prompt.speaker.lower() not in meta.speakers:
            raise ArgumentError(f"{reference.path}: speaker {prompt.speaker!r} is not in {meta.meta.path}")
        if codes.shape[1] != meta.n_groups or not 0 <= int(codes.min()) <= int(codes.max()) < meta.n_codes:
            raise ArgumentError(
                f"{reference.path}: codes from {codes.min()} to {codes.max()} in {codes.shape[1]} groups, "
                f"expected codes below {meta.n_codes} in {meta.n_groups}"
            )


def _forced(ours: Ours, prompt: Prompt, codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return our choice at every place, int32 [n, G], with the official codes before it."""
    meta, made = ours.meta, ours.rows(prompt)
    seen = np.zeros(ours.talker.info.n_vocab, np.bool_)
    ours.talker.rewind()
    step, chosen = ours.talker.decode(made.rows), []
    for n, frame in enumerate(codes.tolist()):
        scores = restrict(
            step.logits[0],
            seen=seen,
            penalty=float(meta.defaults["repetition_penalty"]),
            end_id=meta.codec_eos_id,
            may_end=n >= int(meta.defaults["min_new_tokens"]),
            suppress=meta.suppress,
        )
        rest = ours.predictor_logits(step.hidden[0], frame).argmax(-1)
        chosen.append([int(scores.argmax()), *rest.tolist()])
        seen[frame[0]] = True
        row = ours.talker.embed(CODEC, frame[:1])
        for group, code in enumerate(frame[1:]):
            row = row + ours.predictor.embed(group, [code])
        step = ours.talker.decode(row + made.text_row(n))
    return np.array(chosen, np.int32)


def _free_run(p: int, made: NDArray[np.int32], codes: NDArray[np.int32], counts: NDArray[np.bool_]) -> Row:
    """Compare a free run; a code that a toss-up changed, and all behind it, is no miss."""
    n = min(len(made), len(codes))
    differ = np.argwhere(made[:n] != codes[:n])  # in order of frames, and of groups within one
    n_same = int(differ[0, 0]) if len(differ) else n
    tossed = len(differ) > 0 and not counts[tuple(differ[0])]
    apart = 0.0 if tossed else 1 - n_same / len(codes)
    detail = f"prompt {p}: {n_same} of {len(codes)} frames equal" + (", then a toss-up" if tossed else "")
    return Row("talker and predictor", "greedy codes", apart, 0.0, True, detail)


def _samples(ours: Ours, reference: Reference) -> Iterator[Row]:
    """Compare what the codec makes of the codes."""
    for p, (codes, expected) in enumerate(zip(reference.codes, reference.pcm, strict=True)):
        if expected is None:
            continue
        codec = ours.codec()
        pcm = codec.decode(codes)[:: reference.pcm_step]
        codec.close()
        good = pcm.shape == expected.shape and bool(np.isfinite(pcm).all())
        apart = float(np.abs(pcm - expected).max()) if good else np.inf
        yield Row("codec decoder", "codes to waveform", apart, SAMPLES, False, f"prompt {p}")
