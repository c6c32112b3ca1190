"""The recorded parity checks, repeated on a device and in a type: one row for each quantity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyomni._binding import Device
from pyomni.errors import OutOfMemory, PyOmniError
from pyomni.verify import (
    recording,
    speech_figures,
    toy_audio,
    toy_code2wav,
    toy_codec,
    toy_omni,
    toy_speaker,
    toy_speech,
    toy_vision,
)
from pyomni.verify.figure import Figure
from pyomni.verify.tolerances import allowed, is_relative

__all__ = ["TOYS", "Row", "Toy", "run_toys"]


OTHER_WEIGHTS = "this machine makes other weights from the seed"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    component, stage : str
        What was compared.
    reached : float
        Largest absolute difference; where `relative`, or of codes, a share. Infinite where it cannot be told.
    allowed : float
        The most that passes.
    relative : bool
        Whether the difference is taken as a share of the output, both as root mean squares.
    detail : str
        Where the largest difference is, or why there is none.
    """

    component: str
    stage: str
    reached: float
    allowed: float
    relative: bool = False
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it passes."""
        return self.reached <= self.allowed

    @property
    def strain(self) -> float:
        """How much of what is allowed was needed: above 1 is a miss."""
        if self.reached == 0:
            return 0.0
        return self.reached / self.allowed if self.allowed else np.inf

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, which has no infinity."""
        reached = self.reached if np.isfinite(self.reached) else None
        return {**asdict(self), "reached": reached, "ok": self.ok}


@dataclass(frozen=True)
class Toy:
    """A toy model and what is compared of it.

    Attributes
    ----------
    components : what it is a toy of
    name : str
    figures : given a device and a type, yields comparisons, each with its component
    same_weights : whether this machine makes the weights the recording machine had
    """

    components: str
    name: str
    figures: Callable[[Device, str], Iterator[tuple[str, Figure]]]
    same_weights: Callable[[], bool]


def _same(toy: Any, name: str, prefix: str = "") -> bool:
    return str(recording.load(prefix + name)["weights_sha256"]) == toy.weights_hash(name)


TOYS = (
    Toy(
        "talker, code predictor, codec decoder",
        speech_figures.PACKAGED,
        speech_figures.figures,
        lambda: (
            toy_speech.weights_hash(speech_figures.PACKAGED)
            == toy_speech.recorded_hash(speech_figures.PACKAGED)
        ),
    ),
    Toy(
        "codec encoder",
        toy_codec.PACKAGED,
        toy_codec.figures,
        functools.partial(_same, toy_codec, toy_codec.PACKAGED, "encoder_"),
    ),
    Toy(
        "speaker encoder",
        toy_speaker.PACKAGED,
        toy_speaker.figures,
        functools.partial(_same, toy_speaker, toy_speaker.PACKAGED),
    ),
    Toy(
        "omni language models",
        toy_omni.PACKAGED,
        toy_omni.figures,
        functools.partial(_same, toy_omni, toy_omni.PACKAGED),
    ),
    Toy(
        "audio encoder",
        toy_audio.PACKAGED,
        toy_audio.figures,
        functools.partial(_same, toy_audio, toy_audio.PACKAGED),
    ),
    Toy(
        "vision encoder",
        ", ".join(toy_vision.PACKAGED),
        toy_vision.figures,
        lambda: all(_same(toy_vision, name) for name in toy_vision.PACKAGED),
    ),
    Toy(
        "code2wav",
        toy_code2wav.PACKAGED,
        toy_code2wav.figures,
        functools.partial(_same, toy_code2wav, toy_code2wav.PACKAGED, "code2wav_"),
    ),
)


def run_toys(device: Device, kind: str = "f32", toys: tuple[Toy, ...] | None = None) -> Iterator[Row]:
    """Make each toy, convert it, run it and yield the rows of its components.

    Parameters
    ----------
    device : where they run
    kind : type of their files
    toys : some of `TOYS`; all of them if None

    Raises
    ------
    OutOfMemory
        They did not fit; whatever else goes wrong is a row that failed.
    """
    for toy in TOYS if toys is None else toys:
        worst: dict[tuple[str, str], Row] = {}
        try:
            for component, one in toy.figures(device, kind):
                row = _row(component, one, kind, device.name)
                before = worst.setdefault((component, one.quantity), row)
                if row.strain > before.strain:
                    worst[component, one.quantity] = row
        except OutOfMemory:
            raise
        except PyOmniError as error:
            worst["", "runs"] = Row(toy.components, "runs", np.inf, 0.0, detail=" ".join(str(error).split()))
        # Of numpy's normal numbers one in some thousands hangs on the last bit of a logarithm: no miss.
        # Weights that are other ones altogether miss by themselves, and then this is why.
        same = all(row.ok for row in worst.values()) or toy.same_weights()
        for row in worst.values():
            yield (
                row if row.ok or same else replace(row, detail=f"{OTHER_WEIGHTS}; {row.detail}".rstrip("; "))
            )


def _row(component: str, one: Figure, kind: str, device: str) -> Row:
    relative = is_relative(one.quantity, kind)
    most = allowed(one.quantity, one.rms, kind, device)
    return Row(component, one.quantity, one.apart if relative else one.reached, most, relative, one.detail)
