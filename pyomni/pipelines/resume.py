"""A speech half way as bytes: safetensors with everything it takes to go on, in this process or another.

`pyomni.pipelines.saved` has the frame; ``format`` is ``pyomni-speech``. Tensors: ``talker``
and ``codec`` U8, the lanes as their sessions save them, which know their weights; ``codes`` I32 [n_frames,
n_groups]; ``row_sum`` and ``pad_row`` F32 [n_embd]; ``trailing`` I32 [n_trailing].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, ModelFormatError, PyOmniError, UnsupportedModel
from pyomni.options import COUNT, Draw, GenerationOptions, Guarding, Range, SpeechOptions
from pyomni.pipelines.guard import UNTOUCHED, GuardCounts
from pyomni.pipelines.saved import Kind, pack, unpack
from pyomni.receipt import Receipt

if TYPE_CHECKING:
    from pyomni.metadata import SpeechMetadata

__all__ = ["FORMAT", "VERSION", "SavedSpeech"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

FORMAT, VERSION = "pyomni-speech", 1
KIND = Kind(FORMAT, VERSION, "the saved speech", "SpeechStream.save")
ARCHITECTURE = "qwen3-tts"

#: Type and axes of each tensor.
TENSORS: dict[str, tuple[type, int]] = {
    "codec": (np.uint8, 1),
    "codes": (np.int32, 2),
    "pad_row": (np.float32, 1),
    "row_sum": (np.float32, 1),
    "talker": (np.uint8, 1),
    "trailing": (np.int32, 1),
}


@dataclass(frozen=True, eq=False)
class SavedSpeech:
    """A speech between two blocks of samples: the last frame is decoded, the talker has not read it yet.

    Attributes
    ----------
    talker, codec : uint8 [n]
        Their lanes (`DecoderLM.save`, `CodecDecoder.save`).
    codes : int32 [n_frames, n_groups]
        Frames made so far.
    row_sum : float32 [n_embd]
        Codec side of the talker's next row, of the last frame.
    pad_row : float32 [n_embd]
        Text side of every row after those of `trailing`.
    trailing : int32 [n_trailing]
        Text ids added to the first frames, one each.
    n_prompt : int
        Positions of the prompt.
    n_blocks : int
        Blocks of samples made so far.
    options : GenerationOptions
        How codes are drawn.
    guard : GuardCounts
        Of the frames made so far; fresh draws go on from its attempts.
    receipt : Receipt or None
        Of the frames made so far, without words.
    """

    talker: U8
    codec: U8
    codes: I32
    row_sum: F32
    pad_row: F32
    trailing: I32
    n_prompt: int
    n_blocks: int
    options: GenerationOptions
    guard: GuardCounts = UNTOUCHED
    receipt: Receipt | None = None

    def to_bytes(self) -> bytes:
        """Return the speech as bytes, for `from_bytes`."""
        about = {
            "architecture": ARCHITECTURE,
            "n_prompt": self.n_prompt,
            "n_blocks": self.n_blocks,
            "options": asdict(self.options),
            "guard": self.guard._asdict(),
            "receipt": None if self.receipt is None else self.receipt.to_dict(),
        }
        return pack(KIND, about, {name: getattr(self, name) for name in TENSORS})

    @classmethod
    def from_bytes(cls, saved: bytes) -> SavedSpeech:
        """Read what `to_bytes` made.

        Raises
        ------
        ArgumentError
            Not bytes.
        ModelFormatError
            The bytes are damaged, or no saved speech.
        UnsupportedModel
            A newer pyomni made them, or a model of another kind.
        """
        about, tensors = unpack(KIND, saved)
        try:
            architecture = about["architecture"]
            if architecture != ARCHITECTURE:
                raise UnsupportedModel(
                    f"the saved speech is of a {architecture!r} model, expected {ARCHITECTURE!r}"
                )
            for name, (dtype, ndim) in TENSORS.items():
                if tensors[name].dtype != dtype or tensors[name].ndim != ndim:
                    raise ValueError(f"{name} is {tensors[name].dtype} {list(tensors[name].shape)}")
            if not tensors["codes"].size:
                raise ValueError("codes hold no frame")
            arrays = {name: tensors[name] for name in TENSORS}
            options, guard = _options(about["options"]), _counts(about["guard"])
            receipt = None if about.get("receipt") is None else Receipt.from_dict(about["receipt"])
            return cls(**arrays, n_prompt=_count(about, "n_prompt"), n_blocks=_count(about, "n_blocks"),
                       options=options, guard=guard, receipt=receipt)  # fmt: skip
        except UnsupportedModel:
            raise
        except (PyOmniError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelFormatError(f"the saved speech does not hold what it should ({error})") from error

    def check(self, meta: SpeechMetadata) -> None:
        """Raise `ArgumentError` where a model of this header cannot go on; of its weights the lanes know."""
        n_embd, n_groups = self.row_sum.size, self.codes.shape[1]
        if (n_embd, self.pad_row.size, n_groups) != (meta.n_embd, meta.n_embd, meta.n_groups):
            raise ArgumentError(
                f"the saved speech has rows of width {n_embd} and {n_groups} code groups, expected "
                f"{meta.n_embd} and {meta.n_groups}: it was made with a model of another size"
            )
        if not 0 <= int(self.codes.min()) <= int(self.codes.max()) < meta.n_codes:
            raise ArgumentError(
                f"the saved speech has codes from {self.codes.min()} to {self.codes.max()}, "
                f"expected codes below {meta.n_codes}: it was made with another codec"
            )
        n_positions = self.n_prompt + self.options.max_frames
        if n_positions > meta.n_ctx_max:
            raise ArgumentError(
                f"the saved speech takes {n_positions} positions, expected at most "
                f"{meta.n_ctx_max}: it was made with another model"
            )


def _count(about: dict[str, Any], name: str) -> int:
    n = about[name]
    if type(n) is not int or n < 1:
        raise ValueError(f"{name} is {n!r}")
    return n


def _counts(given: dict[str, Any]) -> GuardCounts:
    counts = GuardCounts(**given)
    if any(type(n) is not int or not 0 <= n < 2**31 for n in counts):
        raise ValueError(f"guard is {given!r}")
    return counts


def _options(given: dict[str, Any]) -> GenerationOptions:
    """Build the options, so that they hold to what a caller is held to."""
    talker, predictor = Draw(**given["talker"]), Draw(**given["predictor"])
    guard = None if given["guard"] is None else Guarding(**given["guard"])
    needed = [value for name, value in given.items() if name != "guard"]
    needed += [*given["talker"].values(), *given["predictor"].values(), *(given["guard"] or {}).values()]
    if any(value is None for value in needed):
        raise ValueError("an option is not set")
    if (talker.min_p, predictor.min_p) != (0, 0):  # `SpeechOptions` below has none to look at
        raise ValueError(f"min_p is {talker.min_p!r} and {predictor.min_p!r}, expected 0")
    if guard is not None:
        Range(0, 1e4, "a number above 0", above=True).check(
            "guard.frames_per_second", guard.frames_per_second
        )
        COUNT.check("guard.least", guard.least)
        if type(guard.capped) is not bool:
            raise ValueError(f"guard.capped is {guard.capped!r}")
    options = GenerationOptions(**{**given, "talker": talker, "predictor": predictor, "guard": guard})
    SpeechOptions(
        seed=options.seed,
        temperature=talker.temperature,
        top_k=talker.top_k,
        top_p=talker.top_p,
        repetition_penalty=options.repetition_penalty,
        predictor_temperature=predictor.temperature,
        predictor_top_k=predictor.top_k,
        predictor_top_p=predictor.top_p,
        max_frames=options.max_frames,
        min_frames=options.min_frames,
        speculate=options.speculate,
    )
    return options
