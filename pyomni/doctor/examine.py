"""All checks in order: the install first, then the file, then what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pyomni.doctor.check import FAIL, Check, guarded, skipped
from pyomni.doctor.install import install_checks
from pyomni.errors import ModelFormatError, UnsupportedModel
from pyomni.folders import is_packaged, original_voice
from pyomni.metadata import Metadata, OmniMetadata, SpeechMetadata, read_model

if TYPE_CHECKING:
    from pyomni.api import Speech
    from pyomni.api.weights import Weights
    from pyomni.doctor.quantised import Drift

__all__ = ["Findings", "examine"]

#: What is said of an Omni model.
OMNI_UNCHECKED = (
    "Qwen3-Omni: the thinker, the encoders, a spoken reply and its ending, and the types against float"
)


@dataclass
class Findings:
    """What checks saw, for pictures; filled while `examine` runs.

    Attributes
    ----------
    speech : Speech or None
        The sentence.
    n_codes : int
        Values a code may have.
    drifts : list of Drift
        Types against float, by component.
    original : Path or None
        Of the packaged voice: a recording of the voice it learned from, saying the same sentence.
    """

    speech: Speech | None = None
    n_codes: int = 0
    drifts: list[Drift] = field(default_factory=list)
    original: Path | None = None


def examine(
    path: str | Path, device: str = "auto", threads: int | None = None, findings: Findings | None = None
) -> Iterator[Check]:
    """Yield the checks of an install and a model file, as they are made.

    Parameters
    ----------
    path : model file; of several side by side, the main one
    device, threads : as `pyomni.load`
    findings : filled with what the checks saw

    Raises
    ------
    ModelFileError
        The file cannot be read. Everything else that is wrong is a failed check.
    ArgumentError
        No such device.
    """
    findings = Findings() if findings is None else findings
    fit = True
    for check in install_checks(device, threads):
        fit = fit and check.status != FAIL
        yield check
    if fit:
        from pyomni.machine import pick

        device = pick(device).name  # chosen once, and what was passed over is said once
        yield from guarded("ops", _arithmetic)
        yield from guarded("reference codes", lambda: _reference(device, threads))
    meta = None
    try:
        meta = read_model(path)
    except (ModelFormatError, UnsupportedModel) as error:
        from pyomni.doctor.file import open_problem

        yield open_problem(error)
    if meta is None:
        return
    from pyomni.doctor.file import file_checks

    whole = True
    for check in guarded("file", lambda: file_checks(meta)):
        whole = whole and check.status != FAIL
        yield check
    if not fit or not whole:
        yield skipped("speech", "what came before has to be right first")
        return
    if isinstance(meta, OmniMetadata):
        yield from guarded("codec", lambda: _omni(meta, device, threads))
    else:
        yield from guarded("speech", lambda: _speech(meta, device, threads, findings))


def _arithmetic() -> Iterator[Check]:
    from pyomni.doctor.arithmetic import arithmetic_checks

    return arithmetic_checks()


def _reference(device: str, threads: int | None) -> Iterator[Check]:
    from pyomni._binding import Device
    from pyomni.doctor.reference import reference_codes_check

    with Device(device, threads) as opened:
        yield from reference_codes_check(opened)


def _codec(meta: Metadata, weights: Weights, name: str, opened: ExitStack) -> Iterator[Check]:
    from pyomni.doctor.codec import codec_checks

    codec = weights.open_codec_decoder(name)
    opened.callback(codec.close)
    encoder = None
    if name == "codec_decoder" and weights.has("codec_encoder"):
        encoder = weights.open_codec_encoder()
        opened.callback(encoder.close)
    settles = meta.u32(f"{name}.window") * meta.u32(f"{name}.n_layer")
    yield from codec_checks(codec, settles, encoder)


def _omni(meta: OmniMetadata, device: str, threads: int | None) -> Iterator[Check]:
    from pyomni.api.weights import Weights

    yield skipped("model", OMNI_UNCHECKED)
    if "code2wav" not in meta.headers:
        yield skipped("codec", "there is no speech file beside it, so no codec")
        return
    with ExitStack() as opened:
        weights = Weights({name: m.path for name, m in meta.headers.items()}, device, threads, ())
        opened.callback(weights.close)
        yield from _codec(meta.headers["code2wav"], weights, "code2wav", opened)


def _speech(meta: SpeechMetadata, device: str, threads: int | None, findings: Findings) -> Iterator[Check]:
    from pyomni.api.weights import Weights
    from pyomni.doctor.quantised import quantised_checks
    from pyomni.doctor.reference import recorded_codes_check

    missing = [name for name in ("talker", "code_predictor", "codec_decoder") if name not in meta.components]
    with ExitStack() as opened:
        weights = Weights(dict.fromkeys(meta.components, meta.meta.path), device, threads, ())
        opened.callback(weights.close)
        if "codec_decoder" in meta.components:
            yield from guarded("codec", lambda: _codec(meta.meta, weights, "codec_decoder", opened))
        if missing:
            yield skipped("speech", f"the file has no {', '.join(missing)}, so nothing is spoken")
        else:
            yield from guarded("speech", lambda: _sentence(meta, device, threads, findings))
            yield from guarded("recorded codes", lambda: recorded_codes_check(meta, weights.device))
        for check, drift in quantised_checks(meta, weights.device):
            if drift is not None:
                findings.drifts.append(drift)
            yield check


def _sentence(meta: SpeechMetadata, device: str, threads: int | None, findings: Findings) -> Iterator[Check]:
    from pyomni.api import SpeechModel
    from pyomni.doctor.speech import speak, speech_checks

    with SpeechModel(meta.meta.path, device=device, threads=threads) as model:
        findings.speech, findings.n_codes = speak(model), meta.n_codes
        if is_packaged(meta.meta.path):
            findings.original = original_voice()
        yield from speech_checks(findings.speech, model.hop, meta.n_codes)
