"""Images and videos that are none, or cannot be used, are refused by name, with little memory."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import video

from pyomni import errors
from pyomni.vision.frontend import VisionFrontEnd
from pyomni.vision.images import fitting_size, read_image
from pyomni.vision.video import read_sound

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("av")
EYES = VisionFrontEnd(16, 2, 2, (0.5,) * 3, (0.5,) * 3, (3136, 12845056), (131072, 786432))


def png(w: int, h: int) -> bytes:
    """Return the head of a PNG of that size, and the beginning of its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")


def saved(image: Any, kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


JPEG = saved(Image.effect_noise((200, 160), 60).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((1, 1, 3), np.uint8), "the image: is 1x1 pixels, expected at least 2 on each side"),
        (saved(Image.new("RGB", (1, 1))), "is 1x1 pixels, expected at least 2 on each side"),
        (saved(Image.new("L", (300, 1))), "is 300x1 pixels, expected at least 2"),
        (png(20000, 20000), r"too large to be opened, expected at most 134217728 pixels \(.*400000000"),
        (png(12000, 12000), "is 12000x12000 pixels, expected at most 134217728 pixels"),
        (png(2**31 - 1, 2**31 - 1), "too large to be opened"),
        (saved(Image.new("RGB", (402, 2))), "is 402x2 pixels, expected no side over 200 times the other"),
        (saved(Image.new("RGB", (2, 500))), "is 2x500 pixels, expected no side over 200"),
        (b"", r"the image \(0 bytes\): is empty, expected an image file"),
        (b"\0" * 4096, r"the image \(4096 bytes\): is not an image that can be read"),
        (b"hello", "is not an image that can be read"),
        (JPEG[: len(JPEG) // 2], "is not an image that can be read .*truncated"),
        (JPEG[:200], "is not an image that can be read"),
        (png(50, 50), "is not an image that can be read"),
        (video(2), "is not an image that can be read"),
        (np.zeros((4, 4, 3)), r"shape \[4, 4, 3\] and type float64, expected uint8 \[h, w, 3\]"),
        (np.zeros((3, 40, 40), np.uint8), r"shape \[3, 40, 40\] and type uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
        (42, "the image is a int, expected a path"),
        (None, "the image is a NoneType, expected a path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_images(source: Any, words: str) -> None:
    with pytest.raises(errors.ImageError, match=words):
        EYES.image(source)


def test_bad_image_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "small.png").write_bytes(saved(Image.new("RGB", (1, 1))))
    (tmp_path / "huge.png").write_bytes(png(20000, 20000))
    for name, words in (
        ("empty.png", r"empty\.png: is empty, expected an image file"),
        ("text.jpg", r"text\.jpg: is not an image that can be read"),
        ("small.png", r"small\.png: is 1x1 pixels"),
        ("huge.png", r"huge\.png: is too large to be opened"),
        ("gone.png", r"gone\.png: there is no such file, expected an image file"),
        (".", "is a folder, expected an image file"),
    ):
        with pytest.raises(errors.ImageError, match=words):
            EYES.image(str(tmp_path / name))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_image_costs_nothing() -> None:
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(errors.ImageError):
        EYES.image(png(12000, 12000))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_images_that_are_fine() -> None:
    """Other modes, an orientation, the longest and the smallest there may be."""
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"):
        assert EYES.image(Image.new(mode, (64, 64))).grid == (1, 4, 4), mode
    deep = Image.fromarray(np.full((64, 64), 40000, np.uint16))
    assert np.asarray(read_image(deep))[0, 0].tolist() == [156, 156, 156]  # not white
    assert EYES.image(np.zeros((2, 2), np.uint8)).grid == (1, 4, 4)
    assert EYES.image(np.zeros((400, 2, 4), np.uint8)).grid == (1, 50, 2)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    turned = saved(Image.new("RGB", (128, 64)), "JPEG", exif=exif)
    assert EYES.image(turned).grid == (1, 8, 4)
    assert EYES.image(Image.open(io.BytesIO(turned))).grid == (1, 8, 4)


def test_bounds() -> None:
    image = np.zeros((640, 640, 3), np.uint8)
    assert EYES.image(image, max_pixels=64 * 64).grid == (1, 4, 4)
    assert EYES.image(image, min_pixels=1280 * 1280).grid == (1, 80, 80)
    for low, high in ((0, 4096), (8192, 4096), (1, 1000), (1, 0)):
        with pytest.raises(
            errors.ArgumentError, match=f"bounds of {low} to {high} pixels, expected an upper"
        ):
            EYES.image(image, min_pixels=low, max_pixels=high)
    with pytest.raises(errors.ImageError, match="is 401x2 pixels"):
        fitting_size(2, 401, 32, 3136, 10**6)


FRAMES = np.zeros((4, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", r"the video \(0 bytes\): is empty, expected a video file"),
        (b"\0" * 4096, r"the video \(4096 bytes\): is not a video that can be read"),
        (JPEG, "is not a video that can be read"),
        (video(0), "is not a video that can be read|has no frames"),
        (video(0, sound=800), "has sound but no frames, expected a video"),
        (video(2)[:600], "is not a video that can be read|has no frames|is damaged"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n", "is not a video"),
        (video(1, h=1, w=2), "is 2x1 pixels, expected at least 2 on each side"),
        (video(1, h=4, w=900), "is 900x4 pixels, expected no side over 200"),
        ((FRAMES[:0], 2), "the video has no frames, expected one or more"),
        (([], 2), "the video has no frames"),
        ((FRAMES, 0), "its rate is 0 frames a second"),
        ((FRAMES, float("nan")), "its rate is nan"),
        ((FRAMES, "2"), r"expected a path, bytes or \(frames, rate\)"),
        (FRAMES, "the video is a ndarray, expected a path, bytes or"),
        ((FRAMES[..., 0], 2), r"the video has shape \[4, 64, 64\]"),
        ((FRAMES / 255, 2), "type float64, expected uint8"),
        (([FRAMES[0], "gone.png"], 2), "frame 1 of the video: gone.png: there is no such file"),
        ((FRAMES[:, :1, :1], 2), "frame 0 of the video: is 1x1 pixels"),
        ((np.zeros((800, 2, 2, 3), np.uint8), 2), "has 800 frames, expected at most 768"),
        (("a.mp4", "b.mp4", "c.mp4"), "the video is a tuple"),
        (7, "the video is a int, expected a path"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_videos(source: Any, words: str) -> None:
    with pytest.raises(errors.VideoError, match=words):
        EYES.video(source)


def test_bad_video_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n")
    for name, words in (
        ("empty.mp4", r"empty\.mp4: is empty, expected a video file"),
        ("text.mp4", r"text\.mp4: is not a video that can be read"),
        ("list.m3u8", r"list\.m3u8: is not a video that can be read"),
        ("gone.mp4", r"gone\.mp4: there is no such file, expected a video file"),
        ("http://127.0.0.1:9/x.mp4", "there is no such file"),
    ):
        with pytest.raises(errors.VideoError, match=words):
            EYES.video(name if "://" in name else tmp_path / name)
        with pytest.raises(errors.VideoError, match=words):
            read_sound(name if "://" in name else tmp_path / name)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"fps": 0}, "fps is 0, expected a number above 0"),
        ({"fps": -1}, "fps is -1"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": "2"}, "fps is '2'"),
        ({"max_frames": 0}, "max_frames is 0, expected 1 or more"),
        ({"max_frames": 2.5}, "max_frames is 2.5"),
        ({"max_pixels": 10}, "bounds of 131072 to 10 pixels"),
    ],
)
def test_bad_wishes(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.ArgumentError, match=words):
        EYES.video(video(2), **wanted)


@pytest.mark.parametrize(("missing", "kind"), [("PIL", "images"), ("av", "videos")])
def test_without_the_extra(missing: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film = video(2)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    error = errors.ImageError if missing == "PIL" else errors.VideoError
    words = rf"{kind} need the package \w+, which is not installed; pip install 'pyomni\[media\]'"
    with pytest.raises(error, match=words):
        EYES.image(b"x") if missing == "PIL" else EYES.video(film)
