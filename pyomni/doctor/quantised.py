"""The file's types against float, component by component: how far, and in which layers it comes about.

The language models of the file are written out as float32, from the very numbers the file holds, and both run
over the same rows. What differs is what the kernels of the types round on the way. Of a file that is float
already, a q8_0 copy is made instead, which shows what quantising would change.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyomni.doctor.check import Check, graded, skipped
from pyomni.doctor.tensors import dequantised, is_matrix, requantised
from pyomni.metadata import SpeechMetadata, TensorInfo

if TYPE_CHECKING:
    from pyomni._binding import Device

__all__ = ["Drift", "compare", "quantised_checks"]

F32 = NDArray[np.float32]
#: Components compared, and what their checks are called.
LMS = {"talker": "talker types", "code_predictor": "predictor types"}
N_ROWS = 24
#: Bytes of a component as float32 that are still written out for this.
LARGEST = 1 << 30
#: Relative difference of the last hidden row that is normal, and that is bearable.
HIDDEN, HIDDEN_MOST = 0.08, 0.3
N_NAMED = 2


@dataclass(frozen=True)
class Drift:
    """How far a component runs from its float copy, all relative (root mean square).

    Attributes
    ----------
    component : str
    types : str
        What was compared: the types of the file's matrices, or ``q8_0 (made here)``.
    layers : tuple of float
        Of the rows behind each layer.
    hidden, logits : float
        Of the last row.
    same_choice : bool
        Whether the largest logit is the same one.
    """

    component: str
    types: str
    layers: tuple[float, ...]
    hidden: float
    logits: float
    same_choice: bool

    def sensitive(self) -> list[int]:
        """Return the one or two layers that add most, the worst first."""
        added = np.diff(np.square([0.0, *self.layers]))
        return [int(i) for i in np.argsort(-added)[: max(1, min(N_NAMED, len(added) // 2))]]


def quantised_checks(
    meta: SpeechMetadata, device: Device, seed: int = 2
) -> Iterator[tuple[Check, Drift | None]]:
    """Yield a check for each language model of a file, with what it is drawn from."""
    for name in LMS:
        if name not in meta.components:
            continue
        wanted = _needed(meta, name)
        size = sum(4 * prod(info.shape) for info in wanted)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if size > min(LARGEST, free // 2):
            limit = f"{min(LARGEST, free // 2) / 1e9:.1f} GB"
            yield skipped(LMS[name], f"{size / 1e9:.1f} GB as float, more than the {limit} tried here"), None
            continue
        drift = compare(meta, name, device, seed)
        yield _check(drift), drift


def compare(meta: SpeechMetadata, name: str, device: Device, seed: int = 2) -> Drift:
    """Run a component and its copy of the other kind over the same rows.

    Raises
    ------
    PyOmniError
        A component cannot be loaded or run.
    """
    from pyomni._binding import Model

    wanted = _needed(meta, name)
    names = {info.name for info in wanted}
    types = {info.type for info in wanted if is_matrix(info) and info.name.startswith(name)}
    small = types - {"f32"}
    with tempfile.TemporaryDirectory(prefix="pyomni-doctor-") as folder:
        copy = Path(folder) / "copy.gguf"
        if small:
            dequantised(meta.meta, copy, lambda info: info.name in names)
        else:
            requantised(meta.meta, copy, lambda info: info.name in names)
        rows = _rows(meta, device, name, seed)
        runs = []
        for path in (meta.meta.path, copy):
            with Model(device, path, name, mapped=False) as model:
                runs.append(_run(model, rows, meta.meta.u32(f"{name}.n_layer")))
    exact, coarse = (runs[1], runs[0]) if small else (runs[0], runs[1])
    layers = tuple(_apart(c, e) for c, e in zip(coarse[2], exact[2], strict=True))
    same = int(coarse[1].argmax()) == int(exact[1].argmax())
    words = ", ".join(sorted(small)) if small else "q8_0 (made here; the file is float)"
    return Drift(name, words, layers, _apart(coarse[0], exact[0]), _apart(coarse[1], exact[1]), same)


def _needed(meta: SpeechMetadata, name: str) -> Sequence[TensorInfo]:
    """Return the tensors a component reads: a code predictor looks at the talker's table as well."""
    also = {"code_predictor": "talker.codec_embd.weight"}.get(name)
    return [t for t in meta.meta.tensors if t.name.startswith(name + ".") or t.name == also]


def _rows(meta: SpeechMetadata, device: Device, name: str, seed: int) -> F32:
    """Return rows such as the component sees: embeddings of random codes, which have their true size."""
    from pyomni._binding import Model
    from pyomni.components.lm import CODEC, DecoderLM

    rng = np.random.default_rng(seed)
    with Model(device, meta.meta.path, name) as model:
        lm = DecoderLM(model, 8)
        table = CODEC if name == "talker" else 0
        n_ids = min(meta.n_codes or model.info.n_vocab, model.info.n_vocab)
        n = N_ROWS if name == "talker" else model.info.n_groups
        rows = lm.embed(table, rng.integers(0, n_ids, n))
        lm.close()
    return rows


def _run(model: object, rows: F32, n_layer: int) -> tuple[F32, F32, list[F32]]:
    """Return the last hidden row, the logits, and the rows behind each layer."""
    from pyomni.components.lm import DecoderLM

    lm = DecoderLM(model, len(rows) + 8)  # type: ignore[arg-type]
    taps = [f"blk.{i}.out" for i in range(n_layer)]
    for tap in taps:
        lm.session.tap(tap)
    step = lm.decode(rows)
    layers = [lm.session.read_tap(tap) for tap in taps]
    lm.close()
    return step.hidden[0], step.logits[0], layers


def _apart(a: F32, b: F32) -> float:
    """Return the root mean square of a difference, relative to that of `b`."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(np.sqrt(((x - y) ** 2).mean() / max((y**2).mean(), 1e-30)))


def _check(drift: Drift) -> Check:
    worst = ", ".join(f"blk.{i}" for i in drift.sensitive())
    choice = "the same choice" if drift.same_choice else "another choice"
    return Check(
        LMS[drift.component],
        graded(drift.hidden, HIDDEN, HIDDEN_MOST),
        f"{drift.types} against f32: hidden {drift.hidden:.1%}, logits {drift.logits:.1%}, {choice}; "
        f"most comes about in {worst}",
        f"hidden below {HIDDEN:.0%}",
        "a type too small for these layers, or kernels that are wrong (then the ops check fails as well)",
        "a larger --type when converting; --device cpu",
    )
