"""A model file on its own: does it hold what it says, are its weights finite, are its codebooks alive?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from pyomni.doctor.check import FAIL, OK, WARN, Check, graded, skipped
from pyomni.doctor.tensors import raw_parts, read_tensor, scales_finite
from pyomni.metadata import Metadata, OmniMetadata, SpeechMetadata

__all__ = ["codebooks", "dead", "file_checks", "headers", "open_problem"]

F32 = NDArray[np.float32]
READ_MOST = 8 << 30  # bytes of weights looked at; of a larger file, evenly spread parts

#: Entries of a codebook this much shorter or longer than the middle one were hardly trained.
SHORT, LONG = 1e-3, 30.0
#: Share of dead entries that is normal, and that can be lived with.
DEAD, DEAD_MOST = 0.1, 0.5

AGAIN = "convert or download the file again; compare its size and hash with the source's"


def headers(meta: SpeechMetadata | OmniMetadata) -> list[Metadata]:
    """Return the headers of all the files a model lies in."""
    if isinstance(meta, SpeechMetadata):
        return [meta.meta]
    return list({id(m): m for m in (meta.meta, *meta.headers.values())}.values())


def file_checks(meta: SpeechMetadata | OmniMetadata) -> Iterator[Check]:
    """Yield the checks of the bytes in a model's files."""
    files = headers(meta)
    for m in files:
        yield _sizes(m)
    if isinstance(meta, OmniMetadata):
        for sibling, problem in meta.problems.items():
            yield skipped(f"{sibling} file", f"not usable: {problem}")
    yield _finite(files)
    found = codebooks(files)
    yield _books(found) if found else skipped("codebooks", "the file has no codec")


def _sizes(m: Metadata) -> Check:
    """Compare what the header lists with the bytes there are, and with the components it names."""
    size = m.path.stat().st_size
    listed = sum(info.n_bytes for info in m.tensors)
    end = max((info.offset + info.n_bytes for info in m.tensors), default=0)
    spans = sorted((info.offset, info.offset + info.n_bytes, info.name) for info in m.tensors)
    overlaps = [b[2] for a, b in pairwise(spans) if b[0] < a[1]]
    named = m.strings("pyomni.components")
    empty = [name for name in named if not any(info.name.startswith(name + ".") for info in m.tensors)]
    types = ", ".join(f"{n} {kind}" for kind, n in Counter(info.type for info in m.tensors).most_common())
    n = sum(prod(info.shape) for info in m.tensors)
    measured = f"{m.path.name}: {size / 1e6:.1f} MB, {n / 1e6:.1f} M weights; tensors: {types}"
    normal = "every component has tensors, none overlap, nothing follows the last"
    means, advice = "a file that was cut, joined or edited", AGAIN
    if overlaps or empty:
        bad = f"{overlaps[0]} overlaps another tensor" if overlaps else f"{empty[0]} has no tensors"
        return Check("file", FAIL, f"{measured}; {bad}", normal, means, advice)
    alignment = int(m.get("general.alignment", 32))
    if size - end >= alignment and listed:
        return Check("file", WARN, f"{measured}; {size - end} bytes follow", normal, means, advice)
    return Check("file", OK, measured, normal)


def _finite(files: list[Metadata]) -> Check:
    """Look at every weight, or at every scale of a block of them, for infinities and no numbers."""
    total = sum(info.n_bytes for m in files for info in m.tensors)
    step = -(-total // READ_MOST)
    bad, seen = [], 0
    for m in files:
        for info in m.tensors:
            good = True
            for part in raw_parts(m.path, info, step):
                seen += len(part)
                good = good and scales_finite(info.type, part)
            if not good:
                bad.append(info.name)
    share = "all" if seen == total else f"{seen / total:.0%}"
    measured = f"{share} of {total / 1e6:.1f} MB looked at"
    normal = "no infinity and nothing that is no number, in weights or in scales of blocks"
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        return Check(
            "finite",
            FAIL,
            f"{measured}; not finite: {', '.join(bad[:3])}{more}",
            normal,
            "a damaged download or disk, or an overflow in an f16 conversion",
            f"{AGAIN}; convert with --type bf16 or q8_0",
        )
    return Check("finite", OK, measured, normal)


def codebooks(files: list[Metadata]) -> Mapping[str, F32]:
    """Return the codebooks of the codecs in a model: group name to rows [codebook_size, width]."""
    books: dict[str, F32] = {}
    for m in files:
        for info in m.tensors:
            component, _, leaf = info.name.partition(".")
            if (
                component in ("codec_decoder", "codec_encoder")
                and leaf.startswith("book.")
                and leaf.endswith("weight")
            ):
                books[f"{component} {leaf.split('.')[1]}"] = read_tensor(m.path, info)
            elif info.name == "code2wav.code_embd.weight":
                rows = read_tensor(m.path, info)
                for group, book in enumerate(np.split(rows, m.u32("code2wav.n_groups"))):
                    books[f"code2wav {group}"] = book
    return books


def dead(book: F32) -> tuple[int, int]:
    """Return how many entries of a codebook are too short or too long to be used, and how many are copies."""
    lengths = np.sqrt((book.astype(np.float64) ** 2).sum(-1))
    middle = float(np.median(lengths))
    odd = (lengths < SHORT * middle) | (lengths > LONG * middle) | (lengths == 0)
    alive = book[~odd]
    return int(odd.sum()), len(alive) - len(np.unique(alive, axis=0))


def _books(books: Mapping[str, F32]) -> Check:
    """Give mean and deviation of the codebooks, and the share of entries nothing can use."""
    shares, means, deviations = {}, [], []
    for name, book in books.items():
        odd, copies = dead(book)
        shares[name] = (odd + copies) / len(book)
        means.append(float(book.mean()))
        deviations.append(float(book.std()))
    worst = max(shares, key=lambda name: shares[name])
    entries = sorted({len(book) for book in books.values()})
    status = graded(shares[worst], DEAD, DEAD_MOST)
    if not all(np.isfinite(deviations)) or min(deviations) == 0:
        status = FAIL
    measured = (
        f"{len(books)} of {'/'.join(map(str, entries))} entries; mean {min(means):+.2g} to {max(means):+.2g}"
        f", deviation {min(deviations):.2g} to {max(deviations):.2g}; unused or equal entries: at most "
        f"{shares[worst]:.1%} ({worst})"
    )
    return Check(
        "codebooks",
        status,
        measured,
        f"mean near 0, deviation of one order of magnitude, less than {DEAD:.0%} unused or equal entries",
        "a codebook that collapsed in training, or was divided by the wrong usage counts in conversion",
        "convert again from the original checkpoint; a codec trained so stays usable, at lower quality",
    )


def open_problem(error: Exception) -> Check:
    """Return the check of a file whose header cannot be believed."""
    return Check(
        "file",
        FAIL,
        " ".join(str(error).split()),
        "a GGUF file that pyomni convert made, whole",
        "a download that was cut, a file of another program, or one made by a newer pyomni",
        AGAIN,
    )
