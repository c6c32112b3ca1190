"""The parts of a message, as OpenAI's API and vLLM's have them: text, and media as bytes within limits.

What a request says never becomes a path: media are base64, data URLs or, where that is allowed, fetched.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyomni.errors import ImageError, UnsupportedModel
from pyomni.server.failures import BadRequest, TooLarge
from pyomni.server.fetch import fetched
from pyomni.server.settings import Settings
from pyomni.server.values import decoded, kind_of, text_of
from pyomni.vision.images import need_pillow

__all__ = ["Reader"]

#: Formats of `input_audio` that OpenAI's API knows; what a clip is, is read from itself.
AUDIO_FORMATS = ("wav", "mp3", "flac", "opus", "ogg", "webm", "m4a", "aac", "pcm16")


@dataclass
class Reader:
    """Reads the parts of one request, counting them.

    Parameters
    ----------
    settings : Settings
    takes : collection of str
        Kinds of media that the model takes.
    fetch : callable
        `pyomni.server.fetch.fetched`.
    """

    settings: Settings
    takes: tuple[str, ...]
    fetch: Callable[[str, int, str], bytes] = fetched
    n_parts: int = 0
    n_chars: int = 0
    n_fetched: int = 0

    def content(self, value: Any, where: str) -> str | list[dict[str, Any]]:
        """Return a message's content for `OmniModel.reply`.

        Raises
        ------
        BadRequest
            Something else than texts and media as they have to be; `TooLarge` beyond a limit.
        UnsupportedModel
            A medium the model does not take.
        """
        if isinstance(value, str):
            self._count()
            return self._text({"text": value}, where)
        if not isinstance(value, list):
            raise BadRequest(f"{where} is {kind_of(value)}, expected a text or a list of parts", where)
        if not value:
            raise BadRequest(f"{where} is empty, expected a text or at least one part", where)
        return [self._part(part, f"{where}[{n}]") for n, part in enumerate(value)]

    def _part(self, part: Any, where: str) -> dict[str, Any]:
        self._count()
        if not isinstance(part, Mapping):
            raise BadRequest(f"{where} is {kind_of(part)}, expected an object with a type", where)
        kind = part.get("type")
        if kind in ("text", "input_text"):
            return {"type": "text", "text": self._text(part, where)}
        if kind == "refusal":  # of an assistant, sent back
            return {"type": "text", "text": self._text({"text": part.get("refusal")}, where)}
        if kind == "input_audio":
            given = self._object(part, "input_audio", where)
            form = text_of(given, "format")
            if form is not None and form not in AUDIO_FORMATS:
                known = ", ".join(AUDIO_FORMATS)
                raise BadRequest(f"{where}.format is {form[:40]!r}, expected one of: {known}", where)
            return self._audio(decoded(given.get("data"), f"{where}.input_audio.data"), where)
        if kind in ("audio_url", "image_url", "video_url"):
            given = self._object(part, kind, where, bare=True)
            medium = str(kind).removesuffix("_url")
            self._check_taken(medium, where)
            data = self._opened(given.get("url"), f"{where}.{kind}.url")
            return getattr(self, f"_{medium}")(data, where)
        known = "text, input_audio, image_url, audio_url, video_url"
        named = repr(kind[:40]) if isinstance(kind, str) else kind_of(kind)
        raise BadRequest(f"{where}.type is {named}, expected one of: {known}", where)

    def _count(self) -> None:
        self.n_parts += 1
        if self.n_parts > self.settings.max_parts:
            raise TooLarge(
                f"messages has more than {self.settings.max_parts} parts, expected at most so many",
                "messages",
            )

    def _text(self, part: Mapping[str, Any], where: str) -> str:
        try:
            text = text_of(part, "text", needed=True) or ""
        except BadRequest as error:
            raise BadRequest(f"{where}: {error}", where) from None
        self.n_chars += len(text)
        if self.n_chars > self.settings.max_chat_chars:
            most = self.settings.max_chat_chars
            raise TooLarge(f"messages has more than {most} characters, expected at most so many", "messages")
        return text

    def _object(
        self, part: Mapping[str, Any], name: str, where: str, bare: bool = False
    ) -> Mapping[str, Any]:
        given = part.get(name)
        if bare and isinstance(given, str):
            return {"url": given}
        if not isinstance(given, Mapping):
            raise BadRequest(f"{where}.{name} is {kind_of(given)}, expected an object", where)
        return given

    def _opened(self, url: Any, where: str) -> bytes:
        if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
            if not self.settings.allow_urls:
                raise BadRequest(
                    f"{where} is a URL, expected a data URL: this server fetches nothing (--allow-urls)",
                    where,
                )
            self.n_fetched += 1
            if self.n_fetched > self.settings.max_urls:
                most = self.settings.max_urls
                raise TooLarge(f"messages has more than {most} URLs, expected at most so many", "messages")
            return self.fetch(url, self.settings.max_upload, where)
        return decoded(url, where)

    def _check_taken(self, kind: str, where: str) -> None:
        if kind not in self.takes:
            taken = ", ".join(self.takes) or "none"
            raise UnsupportedModel(f"{where} is {kind}, expected media that this model takes: {taken}")

    def _audio(self, data: bytes, where: str) -> dict[str, Any]:
        self._check_taken("audio", where)
        return {"type": "audio", "audio": data, "max_seconds": self.settings.max_audio}

    def _image(self, data: bytes, where: str) -> dict[str, Any]:
        check_size(data, self.settings.max_pixels, where)
        return {"type": "image", "image": data}

    def _video(self, data: bytes, where: str) -> dict[str, Any]:
        limits = {"max_frames": self.settings.max_frames, "max_seconds": self.settings.max_audio}
        return {"type": "video", "video": data, **limits}


def check_size(data: bytes, most: int, where: str) -> None:
    """Refuse an image of too many pixels before any of them is decoded; what is no image is found later.

    Raises
    ------
    TooLarge
        Its header says that it is.
    ImageError
        Pillow is not installed.
    """
    pillow = need_pillow()
    try:
        with pillow.open(io.BytesIO(data)) as image:
            w, h = image.size
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        w, h = most + 1, 1
    except Exception as error:  # a stranger's file ends a decoder in many ways
        raise ImageError(f"{where} is not an image that can be read ({type(error).__name__})") from None
    if w * h > most:
        raise TooLarge(f"{where} has more than {most} pixels, expected at most so many", where)
