"""Where media stand in a prompt: a placeholder for each of their rows, three-axis positions for all tokens.

    layout = MediaLayout(tokens, merge=2, per_second=13)
    place = layout.expand(ids, media)              # a placeholder a medium -> one a row
    xyz = layout.positions(place.ids, media)       # float32 [n, 3]: time, height, width

Text and sound advance all three axes by one a token. What is seen stands still in time, frame by frame, and
spreads over height and width; text goes on behind the largest position. A video and its sound track start
together and are merged by time. The rules are those of `get_rope_index` and of
`replace_multimodal_special_tokens` in transformers' qwen3_omni_moe, in their precisions: positions are made
in float32, and so are compared; placeholders are merged by times in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError
from pyomni.metadata.omni import MediaIds

__all__ = ["Expanded", "MediaLayout", "MediaTokens", "Medium"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Numbers = npt.NDArray[Any]


MediaTokens = MediaIds  # placeholders, and what stands around them


@dataclass(frozen=True)
class Medium:
    """How much place something to hear or see takes.

    Attributes
    ----------
    kind : {"audio", "image", "video"}
    n_audio : int
        Rows of a clip, or of the sound track a video is heard with; 0 for what is silent.
    grid : (int, int, int) or None
        Of what is seen: steps in time, rows and columns of patches.
    seconds_per_step : float
        Of a video: from one step in time to the next.
    """

    kind: str
    n_audio: int = 0
    grid: tuple[int, int, int] | None = None
    seconds_per_step: float = 0.0


class Expanded(NamedTuple):
    """A prompt with a placeholder for each row.

    Attributes
    ----------
    ids : int32 [n]
    medium : int32 [n]
        Which medium stands here, -1 for text. A video's sound track is counted by itself, behind the video.
    row : int32 [n]
        Which of its rows, in the order the encoder gives them.
    """

    ids: I32
    medium: I32
    row: I32


@dataclass(frozen=True)
class MediaLayout:
    """The rules, for one model.

    Attributes
    ----------
    tokens : MediaIds
    merge : int
        ``merge * merge`` patches make a row.
    per_second : float
        Positions a second of a video's time takes (13: as many as rows of sound).
    """

    tokens: MediaIds
    merge: int
    per_second: float

    def expand(self, ids: npt.ArrayLike, media: Sequence[Medium]) -> Expanded:
        """Put a placeholder for each row in the place of the one that stands for a medium.

        Parameters
        ----------
        ids : int [n]
            As a chat template has them: one placeholder a medium, between its start and its end.
        media : sequence of Medium
            In the order of their placeholders.

        Raises
        ------
        ArgumentError
            As many media as placeholders, or of other kinds; a placeholder without its start and end; a
            medium that cannot be.
        """
        given, t = _tokens(ids), self.tokens
        around = {
            t.audio: ("audio", t.audio_start, t.audio_end),
            t.image: ("image", t.vision_start, t.vision_end),
            t.video: ("video", t.vision_start, t.vision_end),
        }
        places = np.flatnonzero(np.isin(given, list(around)))
        if len(places) != len(media):
            raise ArgumentError(f"{len(media)} media for {len(places)} placeholders, expected one for each")
        parts: list[tuple[Numbers, Numbers, Numbers]] = []  # ids, medium, row
        done = number = 0
        for at, medium in zip(places.tolist(), media, strict=True):
            kind, start, end = around[int(given[at])]
            self._check(medium, kind)
            if at == 0 or at + 1 == len(given) or given[at - 1] != start or given[at + 1] != end:
                raise ArgumentError(
                    f"the placeholder of {_a(kind)} at token {at} is not between its start and its end"
                )
            parts.append(_text(given[done:at]))
            n_seen = self._n_seen(medium)
            if kind == "video" and medium.n_audio:
                seen, heard = self._seen(medium, np.float64)[:, 0], np.arange(medium.n_audio)
                to_seen, to_heard = _merged(seen, heard)
                body = np.full(n_seen + medium.n_audio, t.audio, np.int32)
                body[to_seen] = t.video
                which, row = np.full(len(body), number + 1), np.empty(len(body), np.int32)
                which[to_seen], row[to_seen], row[to_heard] = number, np.arange(n_seen), heard
                parts += [_text([t.audio_start]), (body, which, row), _text([t.audio_end])]
                number += 2
            else:
                n = n_seen or medium.n_audio
                parts.append((np.full(n, given[at]), np.full(n, number), np.arange(n)))
                number += 1
            done = at + 1
        parts.append(_text(given[done:]))
        ids_, medium_, row_ = (
            np.concatenate([np.asarray(part[i], np.int32) for part in parts]) for i in range(3)
        )
        return Expanded(ids_, medium_, row_)

    def positions(self, ids: npt.ArrayLike, media: Sequence[Medium]) -> F32:
        """Return the positions of a prompt's tokens.

        What is written behind the prompt goes on at the largest one plus 1, on every axis.

        Parameters
        ----------
        ids : int [n]
            With a placeholder for each row: `expand`'s, or a part of them with whole media.
        media : sequence of Medium
            Those that stand in ``ids``, in order.

        Returns
        -------
        float32 [n, 3]
            Time, height and width.

        Raises
        ------
        ArgumentError
            The media are not those that stand in ``ids``.
        """
        given, t = _tokens(ids), self.tokens
        out = np.empty((len(given), 3), np.float32)
        starts = np.flatnonzero((given == t.vision_start) | (given == t.audio_start)).tolist()
        done, now = 0, np.float32(0)  # tokens that have their position, and the next position
        for number, medium in enumerate(media):
            begin = next((at for at in starts if at >= done), len(given))
            kind, n_around, pads = self._found(given, begin)
            if not kind:
                raise ArgumentError(f"medium {number} of {len(media)} does not stand in the prompt")
            self._check(medium, kind)
            n_seen = self._n_seen(medium)
            body = slice(begin + n_around, begin + n_around + n_seen + medium.n_audio)
            counts = {t.audio: medium.n_audio, (t.video if kind == "video" else t.image): n_seen}
            there = {pad: int(np.count_nonzero(given[body] == pad)) for pad in counts}
            behind = given[body.stop] if body.stop < len(given) else -1
            if there != counts or n_around != 1 + (n_seen > 0 and medium.n_audio > 0) or behind in pads:
                raise ArgumentError(
                    f"medium {number}, {_a(kind)}, has {n_seen + medium.n_audio} rows, expected that many "
                    f"placeholders from token {body.start} on"
                )
            now = _run(out[done:begin], now)
            now = _run(out[begin : body.start], now)
            heard = np.repeat(np.arange(medium.n_audio, dtype=np.float32)[:, None], 3, axis=1) + now
            if not n_seen:
                out[body], last = heard, heard
            else:
                seen = self._seen(medium, np.float32) + now
                out[body], last = _together(seen, heard) if medium.n_audio else (seen, seen)
            now = last.max() + np.float32(1)
            done = min(body.stop + n_around, len(given))
            _run(out[body.stop : done], now)
            now = out[done - 1].max() + np.float32(1)
        if np.isin(given[done:], [t.audio, t.image, t.video]).any():
            raise ArgumentError(f"more than the {len(media)} media given stand in the prompt")
        _run(out[done:], now)
        return out

    def _found(self, ids: I32, at: int) -> tuple[str, int, tuple[int, ...]]:
        """Return what begins here: its kind, how many start tokens it has, its placeholders."""
        t = self.tokens
        if at + 1 >= len(ids):
            return "", 1, ()
        first, second = int(ids[at]), int(ids[at + 1])
        if first == t.audio_start:
            return "audio", 1, (t.audio,)
        if second == t.audio_start:
            return "video", 2, (t.audio, t.video)
        return {t.image: "image", t.video: "video"}.get(second, ""), 1, (second,)

    def _check(self, medium: Medium, kind: str) -> None:
        if medium.kind != kind:
            raise ArgumentError(
                f"{_a(medium.kind)} was given where the prompt has {_a(kind)}, expected the prompt's order"
            )
        if kind == "audio":
            good = medium.n_audio > 0 and medium.grid is None
        else:
            good = medium.grid is not None and len(medium.grid) == 3 and min(medium.grid) > 0
            good = good and not any(side % self.merge for side in (medium.grid or ())[1:])
            good = good and medium.n_audio >= 0 and (kind == "video" or not medium.n_audio)
            if kind == "video":
                good = good and isfinite(medium.seconds_per_step) and medium.seconds_per_step > 0
        if not good:
            raise ArgumentError(f"{medium} cannot be, expected rows of sound or a grid of whole blocks")

    def _n_seen(self, medium: Medium) -> int:
        steps, h, w = medium.grid or (0, 0, 0)
        return steps * (h // self.merge) * (w // self.merge)

    def _seen(self, medium: Medium, dtype: type[np.floating[Any]]) -> Numbers:
        """Return time, height and width of each row of an image or video, [n, 3], from 0."""
        steps, h, w = medium.grid or (0, 0, 0)
        step = medium.seconds_per_step if medium.kind == "video" else 1.0
        time = np.arange(steps).astype(dtype) * dtype(step) * dtype(self.per_second)
        axes = np.meshgrid(time, np.arange(h // self.merge), np.arange(w // self.merge), indexing="ij")
        return np.stack([axis.astype(dtype).ravel() for axis in axes], axis=1)


def _tokens(ids: npt.ArrayLike) -> I32:
    given = np.asarray(ids)
    if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise ArgumentError(f"tokens have shape {list(given.shape)} and type {given.dtype}, expected int [n]")
    return given.astype(np.int32)


def _a(kind: str) -> str:
    return {"audio": "an audio clip", "image": "an image", "video": "a video"}.get(kind, repr(kind))


def _text(ids: npt.ArrayLike) -> tuple[Numbers, Numbers, Numbers]:
    given = np.asarray(ids)
    return given, np.full(len(given), -1), np.zeros(len(given), np.int32)


def _run(out: F32, now: np.float32) -> np.float32:
    """Number tokens one by one on every axis; return the next number."""
    out[:] = (np.arange(len(out), dtype=np.float32) + now)[:, None]
    return np.float32(now + np.float32(len(out)))


def _merged(seen: Numbers, heard: Numbers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Merge two rising lists of times, what is seen first at the same time: where each item goes."""
    to_seen = np.arange(len(seen)) + np.searchsorted(heard, seen, side="left")
    return to_seen, np.arange(len(heard)) + np.searchsorted(seen, heard, side="right")


def _together(seen: F32, heard: F32) -> tuple[F32, F32]:
    """Merge a video and its sound, [n, 3]; also return what was left of one when the other had ended.

    What follows goes on behind that rest alone, which is not always behind everything.
    """
    to_seen, to_heard = _merged(seen[:, 0], heard[:, 0])
    out = np.empty((len(seen) + len(heard), 3), np.float32)
    out[to_seen], out[to_heard] = seen, heard
    return out, out[min(to_seen[-1], to_heard[-1]) + 1 :]
