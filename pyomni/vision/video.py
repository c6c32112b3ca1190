"""Videos: frames at even times out of whatever a user has, and the sound that goes with them.

frames, fps = read_video("cat.mp4", lambda h, w: (224, 320), fps=2.0)   # a list of uint8 [224, 320, 3]
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, ImageError, VideoError
from pyomni.vision.images import Pixels, check_pixels, found_file, need_pillow, read_image, resized

__all__ = ["DEFAULT_FPS", "MAX_FRAMES", "VideoSource", "read_sound", "read_video"]

#: A path, the bytes of a video file, or frames (uint8 [n, h, w, 3] or a list of images) with their rate.
VideoSource = Any
Size = Callable[[int, int], tuple[int, int]]

DEFAULT_FPS = 2.0
MAX_FRAMES = 768  # as the official processor; 1.8 GB of frames at their largest
MAX_FPS = 240.0
EPSILON = 1e-4  # seconds
# Containers only: a playlist would have the decoder open other files, or the network.
DEMUXERS = (
    "mov,mp4,m4a,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,gif,asf,h264,hevc,m4v,nut,mp3,wav,flac,aac"
)
OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}


def read_video(
    source: VideoSource, size: Size, *, fps: float = DEFAULT_FPS, max_frames: int = MAX_FRAMES
) -> tuple[list[Pixels], float]:
    """Read a video's frames.

    Parameters
    ----------
    source : path, bytes, or (frames, rate)
        Of a file, what is shown at the times 0, 1 / fps, 2 / fps, ... is taken; frames are all taken.
    size : callable (h, w) -> (h, w)
        The size frames are brought to, from that of the first.
    fps : float
        Frames wanted a second; of a file that has fewer, or is too long for `max_frames`, fewer are taken.
    max_frames : int

    Returns
    -------
    frames : list of uint8 [h, w, 3]
    fps : float
        How many of them are a second, exactly.

    Raises
    ------
    VideoError
        No such file, empty, not a video, damaged, without frames, of a size that cannot be; or a package is
        not installed.
    ArgumentError
        `fps` or `max_frames` cannot be.
    """
    if not isinstance(fps, (int, float)) or not 0 < fps <= MAX_FPS:
        raise ArgumentError(f"fps is {fps!r}, expected a number above 0, at most {MAX_FPS:g}")
    if not isinstance(max_frames, (int, np.integer)) or max_frames < 1:
        raise ArgumentError(f"max_frames is {max_frames!r}, expected 1 or more")
    if isinstance(source, (tuple, list)):
        return _given(source, size, max_frames)
    name, file = _opened(source)
    try:
        with _container(name, file) as container:
            return _looked_at(name, container, size, float(fps), int(max_frames))
    except ImageError as error:
        raise VideoError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None


def read_sound(
    source: VideoSource, max_seconds: float = 3600.0
) -> tuple[npt.NDArray[np.float32], int] | None:
    """Read the sound of a video file, or of a compressed audio file.

    Parameters
    ----------
    source : path or bytes
    max_seconds : float
        What follows is not read.

    Returns
    -------
    (float32 [n, n_channels], rate), or None for a file without sound

    Raises
    ------
    VideoError
        As `read_video`.
    """
    name, file = _opened(source)
    with _container(name, file) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate, parts, n = int(stream.codec_context.sample_rate), [], 0
        import av

        planar = av.AudioResampler(format="fltp", rate=rate)
        for frame in _decoded(name, container, stream):
            for part in planar.resample(frame):
                parts.append(part.to_ndarray().T)
                n += len(parts[-1])
            if n >= max_seconds * rate:
                break
    if not n:
        return None
    return np.concatenate(parts)[: int(max_seconds * rate)].astype(np.float32, copy=False), rate


def _given(source: Any, size: Size, max_frames: int) -> tuple[list[Pixels], float]:
    """Take frames that are there already."""
    if len(source) != 2 or isinstance(source[1], bool) or not isinstance(source[1], (int, float, np.number)):
        raise VideoError(f"the video is a {type(source).__name__}, expected a path, bytes or (frames, rate)")
    frames, rate = source[0], float(source[1])
    if not math.isfinite(rate) or not 0 < rate <= MAX_FPS:
        raise VideoError(f"the video: its rate is {rate:g} frames a second, expected at most {MAX_FPS:g}")
    stacked = isinstance(frames, np.ndarray)
    if stacked and (frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8):
        raise VideoError(
            f"the video has shape {list(frames.shape)} and type {frames.dtype}, expected uint8 [n, h, w, 3]"
        )
    if not stacked and not isinstance(frames, (list, tuple)):
        raise VideoError(f"the frames are a {type(frames).__name__}, expected uint8 [n, h, w, 3] or images")
    if not len(frames):
        raise VideoError("the video has no frames, expected one or more")
    if len(frames) > max_frames:
        raise VideoError(f"the video has {len(frames)} frames, expected at most {max_frames}")
    out: list[Pixels] = []
    sides: tuple[int, int] | None = None
    for i, frame in enumerate(frames):
        try:
            image = read_image(frame)
            sides = sides or size(image.height, image.width)
        except ImageError as error:
            raise VideoError(f"frame {i} of the video: {error}") from None
        out.append(resized(image, *sides))
    return out, rate


def _opened(source: Any) -> tuple[str, Any]:
    """Return a name for messages and what the decoder can open."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"the video ({len(bytes(source))} bytes)"
        if not len(source):
            raise VideoError(f"{name}: is empty, expected a video file")
        return name, io.BytesIO(source)
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        raise VideoError(f"the video is a {type(source).__name__}, expected a path, bytes or (frames, rate)")
    return found_file(source, "a video", VideoError)


def _container(name: str, file: Any) -> Any:
    need_pillow()
    try:
        import av
    except ImportError:
        raise VideoError(
            "videos need the package av, which is not installed; pip install 'pyomni[media]'"
        ) from None
    try:
        return av.open(file, options=OPTIONS)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{name}: is not a video that can be read ({_reason(error)})") from error


def _decoded(name: str, container: Any, stream: Any) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(stream)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{name}: is damaged ({_reason(error)})") from error


def _looked_at(
    name: str, container: Any, size: Size, fps: float, max_frames: int
) -> tuple[list[Pixels], float]:
    """Return what is shown at even times, and how many times a second."""
    if not container.streams.video:
        raise VideoError(f"{name}: has sound but no frames, expected a video")
    stream = container.streams.video[0]
    check_pixels(name, stream.codec_context.width, stream.codec_context.height)
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if rate > 0:
        fps = min(fps, rate)
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1e6
    if seconds * fps > max_frames:
        fps = max_frames / seconds
    kept: list[Pixels] = []
    sides: tuple[int, int] | None = None
    shown: Any = None  # the frame on the screen
    start = now = 0.0

    def keep() -> None:
        nonlocal kept, fps, sides
        if len(kept) >= max_frames:  # longer than it said: every other frame will do
            kept, fps = kept[::2], fps / 2
            if len(kept) >= max_frames or len(kept) / fps > now + EPSILON:
                return
        image = _image(shown)
        sides = sides or size(image.height, image.width)
        kept.append(resized(image, *sides))

    for number, frame in enumerate(_decoded(name, container, stream)):
        at = float(frame.time) if frame.time is not None else number / (rate or fps)
        if shown is None:
            start = at
        now = max(at - start, 0.0)
        while shown is not None and len(kept) / fps < now - EPSILON:
            keep()
        shown = frame
    if shown is None:
        raise VideoError(f"{name}: has no frames, expected one or more")
    while len(kept) / fps <= now + EPSILON:
        keep()
    return kept, fps


def _image(frame: Any) -> Any:
    """Return a decoded frame as an upright image."""
    image = frame.to_image()
    turn = round(getattr(frame, "rotation", 0) or 0) % 360  # degrees, against the clock
    return image.rotate(turn, expand=True) if turn else image


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")
