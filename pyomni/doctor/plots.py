"""Pictures of what the doctor saw: sound, codes and layers. Needs matplotlib, the extra ``plot``.

files = draw("pictures", findings)
spectrogram_pair("both.png", [("pyomni", speech.audio, 16000), ("flite", clip, 16000)])
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyomni.audio.clip import read_clip
from pyomni.audio.mel import hann, mel_filters
from pyomni.doctor.speech import SENTENCE, entropy
from pyomni.errors import OutputFileError, UnsupportedModel

if TYPE_CHECKING:
    from pyomni.api import Speech
    from pyomni.doctor.examine import Findings
    from pyomni.doctor.quantised import Drift

__all__ = ["FILES", "check", "draw", "spectrogram", "spectrogram_pair"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: What `draw` writes, in this order; the last one only where types were compared.
FILES = ("waveform.png", "spectrogram.png", "mel.png", "codes.png", "layers.png")

DPI = 150
RANGE_DB = 80.0  # below the loudest: what an ear hears beside it
WINDOW_S, STEP_S = 0.025, 0.004  # shows both harmonics and pitch pulses of a voice
N_MELS = 80
COLOURS = "magma"
INK, LINE, FAINT = "#222222", "#3b528b", "#bbbbbb"
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def check(folder: str | os.PathLike[str]) -> None:
    """Make the folder and load matplotlib, so that what is missing is known before the work.

    Raises
    ------
    UnsupportedModel
        matplotlib is not installed.
    OutputFileError
        The folder cannot be made.
    """
    with _style():
        pass
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(f"{folder}: cannot be made ({error.strerror or error})") from error


def draw(folder: str | os.PathLike[str], findings: Findings) -> list[Path]:
    """Write the pictures of `FILES` into a folder, as far as there is something to draw.

    Raises
    ------
    UnsupportedModel, OutputFileError
        As `check`, or a picture cannot be written.
    AudioError
        The recording to draw beside the sentence cannot be read.
    """
    check(folder)
    out, files = Path(folder), []
    speech = findings.speech
    with _style():
        if speech is not None and speech.audio.size:
            files = [out / name for name in FILES[:4]]
            _waveform(files[0], speech)
            _spectrogram(files[1], speech, findings.original)
            _mel(files[2], speech)
            _codes(files[3], speech.codes, findings.n_codes)
        if findings.drifts:
            files.append(out / FILES[4])
            _layers(files[-1], findings.drifts)
    return files


def spectrogram_pair(
    path: str | os.PathLike[str],
    sounds: Sequence[tuple[str, ArrayLike, int]],
    *,
    title: str = "",
    top_hz: float | None = None,
    width: float = 9.0,
    height: float = 2.1,
) -> Path:
    """Draw spectrograms above each other: one time axis, one frequency axis, one colour scale.

    Parameters
    ----------
    path : picture to write; its extension says the format (png, svg, pdf)
    sounds : of (title, float [n], sample rate), from top to bottom
        Each is drawn from its own loudest point down, so that a quieter recording does not look emptier.
    title : above all of them
    top_hz : float, optional
        Where the frequency axis ends; by default half the highest sample rate. What a sound cannot hold,
        above half of its own, stays blank.
    width, height : inches of the picture, and of each spectrogram

    Raises
    ------
    ValueError
        No sounds, or one without samples.
    UnsupportedModel, OutputFileError
        As `check`, or the picture cannot be written.
    """
    clips = [(name, np.asarray(samples, np.float32).reshape(-1), int(rate)) for name, samples, rate in sounds]
    if not clips or not all(samples.size for _, samples, _ in clips):
        raise ValueError("sounds has none, or one without samples, expected (title, samples, rate)")
    longest = max(samples.size / rate for _, samples, rate in clips)
    top = top_hz or max(rate for _, _, rate in clips) / 2
    with _style():
        figure, axes = _figure(len(clips), 1, width, height * len(clips) + (0.7 if title else 0.5))
        for at, (ax, (name, samples, rate)) in enumerate(zip(axes[:, 0], clips, strict=True)):
            image = _draw_spectrogram(ax, samples, rate, longest, top)
            ax.set_title(name, color=INK)
            ax.tick_params(labelbottom=at == len(clips) - 1)
        axes[-1, 0].set_xlabel("seconds")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        bar = figure.colorbar(image, ax=list(axes[:, 0]), pad=0.01, fraction=0.03, aspect=18 * len(clips))
        bar.set_label("dB, the loudest is 0")
        bar.outline.set_visible(False)
        return _save(figure, Path(path))


def spectrogram(samples: F32, rate: int, floor_db: float = -RANGE_DB) -> tuple[F64, float]:
    """Return a spectrogram in dB below its loudest point, float64 [n_bins, n_frames], and the Hz of a bin.

    Frames of 25 ms, every 4 ms, the first one centred on the first sample.
    """
    power, bin_hz = _power(samples, rate)
    db = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-20), 1e-20))
    return np.maximum(db, floor_db).T, bin_hz


def _power(samples: F32, rate: int) -> tuple[F64, float]:
    """Return powers [n_frames, n_bins] and the Hz of a bin."""
    window, step = round(WINDOW_S * rate), max(1, round(STEP_S * rate))
    n_fft = 1 << (window - 1).bit_length() + 1  # twice the window: smooth along frequencies
    padded = np.pad(np.nan_to_num(samples.astype(np.float64)), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::step]
    return np.abs(np.fft.rfft(frames * hann(window, n_fft))) ** 2, rate / n_fft


@contextmanager
def _style() -> Iterator[None]:
    """Draw in our style inside the block; settings of the caller's are left alone.

    Raises
    ------
    UnsupportedModel
        matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise UnsupportedModel(
            "pictures need matplotlib, which is not installed; pip install 'pyomni[plot]' brings it"
        ) from error
    with rc_context(STYLE):
        yield


def _figure(
    rows: int, columns: int, width: float = 9.0, height: float = 3.0, **options: Any
) -> tuple[Any, Any]:
    """Return a figure and its axes [rows, columns]; pyplot, and with it any window, is left alone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _save(figure: Any, path: Path) -> Path:
    """Write a picture beside its place and rename it."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        figure.savefig(part)
        part.replace(path)
    except OSError as error:
        raise OutputFileError(f"{path}: cannot be written ({error.strerror or error})") from error
    except ValueError as error:
        raise OutputFileError(f"{path}: cannot be written ({error})") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _words(speech: Speech) -> str:
    return f"{speech.seconds:.2f} s at {speech.sample_rate / 1000:g} kHz, seed {speech.seed}: “{SENTENCE}”"


def _draw_spectrogram(ax: Any, samples: F32, rate: int, longest: float, top: float) -> Any:
    """Draw a spectrogram on axes of `longest` seconds and `top` Hz."""
    db, bin_hz = spectrogram(samples, rate)
    shown = db[: int(top / bin_hz) + 1]
    extent = (0.0, samples.size / rate, 0.0, shown.shape[0] * bin_hz / 1000)
    image = ax.imshow(
        shown,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=COLOURS,
        vmin=-RANGE_DB,
        vmax=0.0,
        interpolation="bilinear",
    )
    ax.set(xlim=(0, longest), ylim=(0, top / 1000), ylabel="kHz")
    return image


def _waveform(path: Path, speech: Speech) -> None:
    """Draw the range of the samples in each column of pixels, and the level of 20 ms over time."""
    figure, axes = _figure(2, 1, 9.0, 3.6, sharex=True, gridspec_kw={"height_ratios": [2, 1]})
    ax, level = axes[:, 0]
    audio, rate = np.nan_to_num(speech.audio), speech.sample_rate
    step = max(1, audio.size // 2400)
    columns = np.pad(audio, (0, -audio.size % step), mode="edge").reshape(-1, step)
    seconds = np.arange(len(columns)) * step / rate
    ax.fill_between(seconds, columns.min(1), columns.max(1), color=LINE, linewidth=0.4, edgecolor=LINE)
    for at in (-1, 1):
        ax.axhline(at, color="#cc4444", linewidth=0.6, linestyle=":")
    ax.set(ylim=(-1.08, 1.08), yticks=[-1, 0, 1], ylabel="samples", title=_words(speech))
    window = max(1, rate // 50)
    power = np.convolve(np.square(audio, dtype=np.float64), np.ones(window) / window, "same")[::step]
    level.plot(
        np.arange(len(power)) * step / rate, 10 * np.log10(np.maximum(power, 1e-9)), color=LINE, linewidth=0.8
    )
    level.set(
        xlim=(0, speech.seconds), ylim=(-80, 0), yticks=[-60, -40, -20], ylabel="dBFS", xlabel="seconds"
    )
    level.grid(axis="y", color=FAINT, linewidth=0.4)
    _save(figure, path)


def _spectrogram(path: Path, speech: Speech, original: Path | None) -> None:
    """Draw the sentence, and below it the recording it is measured against, where there is one."""
    sounds = [(_words(speech), speech.audio, speech.sample_rate)]
    if original is not None:
        clip = read_clip(original, speech.sample_rate)
        sounds.append(("flite, the voice it learned from, saying the same", clip, speech.sample_rate))
    spectrogram_pair(path, sounds, height=2.9 if original is None else 2.1)


def _mel(path: Path, speech: Speech) -> None:
    """Draw mel bands, labelled by their frequencies."""
    rate = speech.sample_rate
    power, bin_hz = _power(speech.audio, rate)
    filters = mel_filters(rate, round(rate / bin_hz), N_MELS, 0.0, rate / 2).astype(
        np.float64
    )  # [n_mels, n_bins]
    bands = power @ filters.T  # [n_frames, n_mels]
    db = 10 * np.log10(np.maximum(bands / max(float(bands.max()), 1e-20), 1e-20)).T
    centres = (filters * np.arange(filters.shape[1])).sum(1) / np.maximum(filters.sum(1), 1e-20) * bin_hz
    figure, axes = _figure(1, 1, 9.0, 3.4)
    ax = axes[0, 0]
    image = ax.imshow(
        db,
        origin="lower",
        aspect="auto",
        extent=(0.0, speech.seconds, -0.5, N_MELS - 0.5),
        cmap=COLOURS,
        vmin=-RANGE_DB,
        vmax=0.0,
        interpolation="bilinear",
    )
    marks = [hz for hz in (250, 500, 1000, 2000, 4000, 8000) if hz < rate / 2]
    ax.set_yticks(np.interp(marks, centres, np.arange(N_MELS)), [f"{hz / 1000:g}" for hz in marks])
    ax.set(title=f"{N_MELS} mel bands, {_words(speech)}", xlabel="seconds", ylabel="kHz")
    bar = figure.colorbar(image, ax=ax, pad=0.01, fraction=0.03)
    bar.set_label("dB, the loudest is 0")
    bar.outline.set_visible(False)
    _save(figure, path)


def _codes(path: Path, codes: NDArray[np.int32], n_codes: int) -> None:
    """Draw how often each code was used, a panel for each group."""
    n_frames, n_groups = codes.shape
    columns = min(4, n_groups)
    rows = -(-n_groups // columns)
    figure, axes = _figure(
        rows, columns, 9.0, (1.25 if rows > 2 else 1.8) * rows + 0.7, sharex=True, sharey=True
    )
    n_codes = max(n_codes, int(codes.max()) + 1)
    bins = np.linspace(0, n_codes, min(n_codes, 64) + 1)
    for group, ax in enumerate(axes.flat):
        if group >= n_groups:
            ax.set_visible(False)
            continue
        used = np.unique(codes[:, group]).size
        ax.hist(codes[:, group], bins, color=LINE)
        ax.set_title(f"group {group}: {used} codes, {entropy(codes[:, group]):.1f} bits", fontsize=8)
        ax.set_xlim(0, n_codes)
    for ax in axes[:, 0]:
        ax.set_ylabel("frames")
    for ax in axes[-1]:
        ax.set_xlabel("code")
    most = np.log2(min(n_frames, n_codes))
    figure.suptitle(
        f"Codes of {n_frames} frames, of {n_codes} in each group (at most {most:.1f} bits)",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    _save(figure, path)


def _layers(path: Path, drifts: Sequence[Drift]) -> None:
    """Draw how far the rows behind each layer are from float, a panel for each component."""
    figure, axes = _figure(len(drifts), 1, 9.0, 2.3 * len(drifts))
    for ax, drift in zip(axes[:, 0], drifts, strict=True):
        names = [f"blk.{i}" for i in range(len(drift.layers))] + ["hidden", "logits"]
        values = np.array([*drift.layers, drift.hidden, drift.logits]) * 100
        marked = drift.sensitive()
        colours = ["#cc4444" if i in marked else LINE for i in range(len(drift.layers))] + [FAINT, FAINT]
        bars = ax.bar(range(len(names)), values, color=colours, width=0.7)
        if len(names) <= 16:
            ax.bar_label(bars, fmt="%.2g", fontsize=7, padding=1, color=INK)
        tight = len(names) > 16
        ax.set_xticks(range(len(names)), names, rotation=90 if tight else 0, fontsize=7 if tight else 9)
        ax.set(
            ylabel="% of the row",
            title=f"{drift.component}: {drift.types} against f32",
            xlim=(-0.6, len(names) - 0.4),
        )
        ax.margins(y=0.15)
    axes[-1, 0].set_xlabel("behind each layer; red: the layers that add most")
    _save(figure, path)
