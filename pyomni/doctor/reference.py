"""Official codes: a toy codec on codes whose official sound is known, and the file's own recorded codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyomni.doctor.check import FAIL, OK, Check, graded, skipped
from pyomni.metadata import SpeechMetadata

if TYPE_CHECKING:
    from pyomni._binding import Device

__all__ = ["recorded_codes_check", "reference_codes_check"]

#: Of full scale: what float32 and TF32 come to, and what is no rounding any more.
SAMPLES, SAMPLES_MOST = 1e-4, 1e-2


def reference_codes_check(device: Device) -> Iterator[Check]:
    """Decode codes with the toy codec that the official package decoded them with; compare the samples."""
    from pyomni.verify import recording, speech_figures
    from pyomni.verify.speech_engine import Ours, gguf

    name = speech_figures.PACKAGED
    ours, official = Ours(gguf(name), device=device), recording.load(name)
    found = [one for one in speech_figures.codec(ours, official) if one.quantity == "full decoder"]
    worst = max(found, key=lambda one: one.reached)
    yield Check(
        "reference codes",
        graded(worst.reached, SAMPLES, SAMPLES_MOST),
        f"{len(official['codec.codes'])} frames of a toy codec, on {device.name}: {worst.reached:.0e} from "
        "the official samples",
        f"below {SAMPLES:.0e}",
        "the codec decoder computes something else here, so speech is wrong whatever its codes are",
        "pyomni verify shows which stage; --device cpu; build again with GGML_NATIVE=OFF",
    )


def recorded_codes_check(meta: SpeechMetadata, device: Device) -> Iterator[Check]:
    """Compare the file with recorded official codes, where they lie beside it."""
    from pyomni.verify.codes import Reference, beside, run_codes

    path = beside(meta.meta.path)
    if not path.is_file():
        yield skipped("recorded codes", f"there is no {path.name} beside the file (tools/record_codes.py)")
        return
    rows = list(run_codes(meta, Reference.read(path), device))
    missed = [row for row in rows if not row.ok]
    shown = missed or rows
    yield Check(
        "recorded codes",
        FAIL if missed else OK,
        "; ".join(f"{row.component}, {row.stage}: {row.reached:.1e} ({row.detail})" for row in shown),
        "in float32 every code the official one; of other types, most of those that are no toss-up",
        "a file that was converted wrongly or damaged, or kernels that compute something else",
        "convert it again; pyomni verify tells whether it is the machine",
    )
