"""Images: whatever a user has, as upright RGB of a size that a vision encoder takes.

pixels = resized(read_image("cat.jpg"), 224, 320)         # uint8 [224, 320, 3]
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyomni.errors import ArgumentError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "ImageSource", "Pixels", "fitting_size", "need_pillow", "read_image", "resized"]

Pixels = npt.NDArray[np.uint8]
#: A path, the bytes of an image file, an image of Pillow's, or uint8 [h, w], [h, w, 3] or [h, w, 4].
ImageSource = Any

MAX_PIXELS = 1 << 27  # 134 megapixels: 400 MB once decoded
MAX_ASPECT = 200  # as the official processor
MIN_SIDE = 2


def need_pillow() -> Any:
    """Return the module ``PIL.Image``; Pillow is optional."""
    try:
        import PIL.Image
    except ImportError:
        raise ImageError(
            "images need the package pillow, which is not installed; pip install 'pyomni[media]'"
        ) from None
    return PIL.Image


def fitting_size(h: int, w: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Return the size an image is brought to: sides that are multiples of `factor`, pixels within bounds.

    The rules, and how halves are rounded, are those of ``smart_resize`` in the official processors. Bounds
    come first: a long image may end a multiple away from its own proportions.

    Parameters
    ----------
    h, w : pixels
    factor : int
    min_pixels, max_pixels : int

    Raises
    ------
    ImageError
        One side is more than 200 times the other, or is less than 2 pixels.
    ArgumentError
        The bounds cannot be.
    """
    if not 0 < min_pixels <= max_pixels or max_pixels < factor * factor:
        raise ArgumentError(
            f"bounds of {min_pixels} to {max_pixels} pixels, expected an upper one of at least "
            f"{factor * factor}, not below the lower one"
        )
    if min(h, w) < MIN_SIDE:
        raise ImageError(f"is {w}x{h} pixels, expected at least {MIN_SIDE} on each side")
    if max(h, w) > MAX_ASPECT * min(h, w):
        raise ImageError(f"is {w}x{h} pixels, expected no side over {MAX_ASPECT} times the other")
    tall, wide = round(h / factor) * factor, round(w / factor) * factor  # halves go to the even multiple
    if tall * wide > max_pixels:
        shrink = math.sqrt(h * w / max_pixels)
        tall = max(factor, math.floor(h / shrink / factor) * factor)
        wide = max(factor, math.floor(w / shrink / factor) * factor)
    elif tall * wide < min_pixels:
        grow = math.sqrt(min_pixels / (h * w))
        tall, wide = math.ceil(h * grow / factor) * factor, math.ceil(w * grow / factor) * factor
    return tall, wide


def read_image(source: ImageSource) -> Image:
    """Read an image: upright, RGB, the first frame of one that moves.

    Parameters
    ----------
    source : path, bytes, PIL.Image.Image, or uint8 [h, w], [h, w, 3] or [h, w, 4]

    Returns
    -------
    PIL.Image.Image
        Transparency is dropped, as in the official processor.

    Raises
    ------
    ImageError
        No such file, empty, not an image, damaged, more than 134 megapixels (nothing of it is decoded then),
        an array that is no image; or Pillow is not installed.
    """
    pillow = need_pillow()
    if isinstance(source, pillow.Image):
        return _upright(source, "the image")
    if isinstance(source, np.ndarray):
        return _from_array(source, pillow)
    name, file = _opened(source)
    try:
        with pillow.open(file) as image:
            return _upright(image, name)
    except (ImageError, MemoryError):
        raise
    # a stranger's file ends a decoder in many ways: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        if isinstance(error, (pillow.DecompressionBombError, pillow.DecompressionBombWarning)):
            raise ImageError(
                f"{name}: is too large to be opened, expected at most {MAX_PIXELS} pixels ({error})"
            ) from error
        raise ImageError(f"{name}: is not an image that can be read ({_reason(error)})") from error


def resized(image: Image, h: int, w: int) -> Pixels:
    """Return an image in another size, uint8 [h, w, 3]: bicubic, every source pixel in its part.

    Rows are always resized before columns, as in the official processor; left to itself, Pillow takes what is
    less work, and since values are rounded in between, a quarter of them end a level or more away. What is
    left is that torchvision's weights have fewer bits: some values in a thousand differ by a level.
    """
    cubic = need_pillow().Resampling.BICUBIC
    return np.asarray(image.resize((w, image.height), cubic).resize((w, h), cubic), np.uint8)


def check_pixels(name: str, w: int, h: int) -> None:
    """Refuse what would take more memory than an image should."""
    if w * h > MAX_PIXELS:
        raise ImageError(f"{name}: is {w}x{h} pixels, expected at most {MAX_PIXELS} pixels")


def _upright(image: Image, name: str) -> Image:
    import PIL.ImageOps

    check_pixels(name, *image.size)  # before anything is decoded
    if image.mode.startswith("I;16"):
        levels = np.asarray(image) >> 8  # convert() would clip them to white
        image = need_pillow().fromarray(levels.astype(np.uint8))
    return PIL.ImageOps.exif_transpose(image).convert("RGB")


def _from_array(array: npt.NDArray[Any], pillow: Any) -> Image:
    flat = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not flat or not array.size:
        raise ImageError(
            f"the image has shape {list(array.shape)} and type {array.dtype}, expected uint8 [h, w, 3] "
            "from 0 to 255"
        )
    check_pixels("the image", array.shape[1], array.shape[0])
    image: Image = pillow.fromarray(np.ascontiguousarray(array)).convert("RGB")
    return image


def _opened(source: Any) -> tuple[str, Any]:
    """Return a name for messages and what Pillow can open."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"the image ({len(bytes(source))} bytes)"
        if not len(source):
            raise ImageError(f"{name}: is empty, expected an image file")
        return name, io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ImageError(
            f"the image is a {type(source).__name__}, expected a path, the bytes of an image file, an image "
            "of Pillow's, or uint8 [h, w, 3]"
        )
    return found_file(source, "an image", ImageError)


def found_file(source: Any, what: str, error: type[Exception]) -> tuple[str, str]:
    """Return the name of a file for messages, and its path; refuse one that is not there or is empty."""
    name = os.fspath(source)
    try:
        path = Path(name)
        found, folder = path.exists(), path.is_dir()
        empty = found and not folder and path.is_file() and path.stat().st_size == 0
    except (OSError, ValueError, TypeError) as reason:
        raise error(f"{name!r}: is not a path to {what} ({reason})") from reason
    if not found or folder or empty:
        how = "is a folder" if folder else "is empty" if empty else "there is no such file"
        raise error(f"{name}: {how}, expected {what} file")
    return str(name), str(path)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 120 else text[:117] + "...").rstrip(".") or type(error).__name__
