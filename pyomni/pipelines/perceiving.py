"""Media to rows of the language model; what was heard or seen is remembered for a while."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.audio.clip import MAX_SECONDS
from pyomni.audio.hearing import Hearing
from pyomni.digests import content_key
from pyomni.errors import ArgumentError, PyOmniError, UnsupportedModel, VideoError
from pyomni.pipelines.held import Perceived, Prompt
from pyomni.pipelines.positions import MediaLayout, Medium
from pyomni.text.messages import MediaPart
from pyomni.vision.frontend import Film, VisionFrontEnd
from pyomni.vision.video import DEFAULT_FPS, MAX_FRAMES, read_sound

if TYPE_CHECKING:
    from pyomni.components.encoder import Encoder
    from pyomni.components.vision import VisionEncoder
    from pyomni.metadata import OmniMetadata

__all__ = ["MEMORY_BYTES", "Perceiver", "assemble", "decodable", "places"]

#: Of what was heard and seen, remembered: at the released sizes two minutes of sound take 13 MB.
MEMORY_BYTES = 256 * 2**20


class Perceiver:
    """The senses of one model.

    Parameters
    ----------
    meta : OmniMetadata
    open_ears : callable () -> Encoder
        Opens a session of ``audio_encoder``.
    open_eyes : callable () -> VisionEncoder
        Opens a session of ``vision_encoder``.
    """

    def __init__(
        self, meta: OmniMetadata, open_ears: Callable[[], Encoder], open_eyes: Callable[[], VisionEncoder]
    ) -> None:
        self._meta, headers = meta, meta.headers
        self._hearing = Hearing.read(headers["audio_encoder"]) if "audio_encoder" in headers else None
        self._sight = VisionFrontEnd.read(headers["vision_encoder"]) if "vision_encoder" in headers else None
        self._open_ears, self._open_eyes = open_ears, open_eyes
        self._audio: Encoder | None = None
        self._vision: VisionEncoder | None = None
        self._known: OrderedDict[str, Perceived] = OrderedDict()

    def perceive(self, part: MediaPart, *, with_sound: bool = False) -> Perceived:
        """Return a part as rows.

        Parameters
        ----------
        part : MediaPart
            Whose source is a path, bytes, samples, an image, or something perceived before.
        with_sound : bool
            Hear the sound track of a video as well.

        Raises
        ------
        ModelFileError, ModelFormatError, UnsupportedModel
            The model does not hear, or does not see; `OmniMetadata.require` says why.
        AudioError, ImageError, VideoError
            What there is to hear or see cannot be read, or is empty, too long, too small or too large.
        """
        return self.read(part, with_sound=with_sound)()

    def read(self, part: MediaPart, *, with_sound: bool = False) -> Callable[[], Perceived]:
        """Decode a part, in any thread, and return what perceives it; as `perceive`, in two steps."""
        if isinstance(part.source, Perceived):
            known = part.source
            if known.kind != part.kind:
                raise ArgumentError(f"{part.where} of type {part.kind!r} holds perceived {known.kind}")
            return lambda: known
        if part.kind == "audio":
            return self._hear(part)
        if part.kind == "image":
            return self._see(part)
        return self._watch(part, with_sound)

    def _hear(self, part: MediaPart, sound: Any = None) -> Callable[[], Perceived]:
        if self._hearing is None:
            raise self._lacks("audio_encoder", f"{part.where} is audio")
        most = _seconds(part)
        clip = decodable(part.source, most) if sound is None else sound
        mel = self._hearing.load(clip, max_seconds=most)  # [n_frames, n_mels]
        key = content_key("audio", mel.tobytes())
        return lambda: self._remembered(key, lambda: Perceived("audio", self._ears().encode(mel), None, key))

    def _see(self, part: MediaPart) -> Callable[[], Perceived]:
        if self._sight is None:
            raise self._lacks("vision_encoder", f"{part.where} is an image")
        rows, grid = self._sight.image(part.source, **_bounds(part))
        key = content_key("image", repr(grid), rows.tobytes())

        def look() -> Perceived:
            seen = self._eyes().encode(rows, grid)
            return Perceived("image", seen.rows, seen.deepstack, key, grid)

        return lambda: self._remembered(key, look)

    def _watch(self, part: MediaPart, with_sound: bool) -> Callable[[], Perceived]:
        if self._sight is None:
            raise self._lacks("vision_encoder", f"{part.where} is a video")
        film = self._sight.video(
            part.source, fps=part.extra.get("fps", DEFAULT_FPS),
            max_frames=part.extra.get("max_frames", MAX_FRAMES), **_bounds(part),
        )  # fmt: skip
        hear = None
        if with_sound:
            heard = part.extra.get("sound")
            if heard is None and not isinstance(part.source, (tuple, list)):
                heard = read_sound(part.source, _seconds(part) + 1)  # a longer one is refused, not cut
            hear = None if heard is None else self._hear(part, heard)

        def watch() -> Perceived:
            sound = None if hear is None else hear()
            key = content_key(
                "video", repr((film.grid, film.seconds_per_step)), sound.key if sound else "", *_frames(film)
            )

            def look() -> Perceived:
                seen = self._eyes().encode_frames(film.steps(), film.grid[1:])
                return Perceived(
                    "video", seen.rows, seen.deepstack, key, film.grid, film.seconds_per_step, sound
                )

            return self._remembered(key, look)

        return watch

    def _lacks(self, component: str, what: str) -> PyOmniError:
        """Return the error of a network that is not there, with what asked for it."""
        try:
            self._meta.require(component)
        except PyOmniError as error:
            return type(error)(f"{what}: {error}")
        return UnsupportedModel(f"{what}, which this model does not take")

    def _ears(self) -> Encoder:
        if self._audio is None:
            self._audio = self._open_ears()
        return self._audio

    def _eyes(self) -> VisionEncoder:
        if self._vision is None:
            self._vision = self._open_eyes()
        return self._vision

    def _remembered(self, key: str, make: Callable[[], Perceived]) -> Perceived:
        found = self._known.pop(key, None) or make()
        self._known[key] = found
        while len(self._known) > 1 and sum(map(_n_bytes, self._known.values())) > MEMORY_BYTES:
            self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Free the sessions and what was remembered."""
        for session in (self._audio, self._vision):
            if session is not None:
                session.close()
        self._audio = self._vision = None
        self._known.clear()


def assemble(layout: MediaLayout, ids: Sequence[int], media: Sequence[Perceived]) -> Prompt:
    """Put media into a prompt: a placeholder for each row, and a position for each token.

    Parameters
    ----------
    ids : sequence of int
        With one placeholder for each medium.
    media : sequence of Perceived
        In order of their placeholders.

    Raises
    ------
    ArgumentError
        Not as many placeholders as media, or in another order.
    """
    sizes = [_medium(medium) for medium in media]
    expanded = layout.expand(np.asarray(ids, np.int32), sizes)
    flat: list[Perceived] = []
    for medium in media:
        flat += [medium] if medium.sound is None else [medium, medium.sound]
    positions = layout.positions(expanded.ids, sizes).astype(np.float64)
    return Prompt(expanded.ids, positions, tuple(flat), expanded.medium, expanded.row)


def places(
    layout: MediaLayout, ids: npt.NDArray[np.int32], kept: Sequence[Perceived]
) -> npt.NDArray[np.float64] | None:
    """Return places of tokens that are a part of a prompt, float64 [n, 3]; None where they simply count.

    Parameters
    ----------
    ids : int32 [n]
        Whole turns of a prompt, expanded.
    kept : sequence of Perceived
        Media that stand in them, in order.
    """
    if all(medium.grid is None for medium in kept):
        return None
    return layout.positions(ids, [_medium(medium) for medium in kept]).astype(np.float64)


def _medium(perceived: Perceived) -> Medium:
    n_audio = len(perceived.rows) if perceived.kind == "audio" else 0
    if perceived.sound is not None:
        n_audio = len(perceived.sound.rows)
    return Medium(perceived.kind, n_audio, perceived.grid, perceived.seconds_per_step)


def decodable(source: Any, max_seconds: float = MAX_SECONDS) -> Any:
    """Return the samples of a file that only the decoder of videos reads, such as AAC; else the source."""
    import soundfile

    if not isinstance(source, (str, os.PathLike, bytes)):
        return source
    try:
        soundfile.info(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source))
        return source
    except (RuntimeError, TypeError, ValueError, OSError):
        try:
            heard = read_sound(source, max_seconds + 1)
        except VideoError:  # what is wrong with it as audio says more
            return source
        return source if heard is None else heard


def _seconds(part: MediaPart) -> float:
    """Return how much sound a part may have."""
    return float(part.extra.get("max_seconds", MAX_SECONDS))


def _bounds(part: MediaPart) -> dict[str, Any]:
    """Return the bounds of a size that a part asks for."""
    return {name: part.extra[name] for name in ("min_pixels", "max_pixels") if part.extra.get(name)}


def _frames(film: Film) -> Iterator[bytes]:
    """Yield the frames of a film, for its key."""
    return (frame.tobytes() for frame in film.frames)


def _n_bytes(perceived: Perceived) -> int:
    n = perceived.rows.nbytes + (0 if perceived.deepstack is None else perceived.deepstack.nbytes)
    return n + (0 if perceived.sound is None else _n_bytes(perceived.sound))
