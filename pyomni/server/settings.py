"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from pyomni.errors import ArgumentError

__all__ = ["Settings", "is_loopback"]


@dataclass(frozen=True)
class Settings:
    """Limits and the key.

    Attributes
    ----------
    api_key : str or None
        What `Authorization: Bearer` must carry; None asks for none.
    queue : int
        Requests that may wait for a lane.
    deadline : float
        Seconds an answer may take, from the request to its last sample.
    max_chars : int
        Characters of a text.
    max_upload : int
        Bytes of a request's body.
    text_wait : float
        Seconds that a text that arrives over a socket may pause: it holds a lane.
    drain : float
        Seconds that running answers are given when the server stops.
    allow_urls : bool
        Fetch media from http and https URLs of public hosts.
    max_audio : float
        Seconds of a clip that is to be heard.
    max_pixels : int
        Of an image that is to be seen.
    max_frames : int
        Of a video; of a longer one fewer are taken a second.
    max_parts, max_urls : int
        Parts of the messages of a conversation, and those that are fetched.
    max_chat_chars : int
        Characters of a conversation.
    """

    api_key: str | None = field(default=None, repr=False)
    queue: int = 32
    deadline: float = 600.0
    max_chars: int = 20_000
    max_upload: int = 32 << 20
    text_wait: float = 20.0
    drain: float = 30.0
    allow_urls: bool = False
    max_audio: float = 1800.0
    max_pixels: int = 40_000_000
    max_frames: int = 256
    max_parts: int = 256
    max_urls: int = 8
    max_chat_chars: int = 1_000_000

    def check_host(self, host: str) -> None:
        """Refuse to be reached from elsewhere without a key.

        Raises
        ------
        ArgumentError
            A host beyond this machine and no key.
        """
        if not self.api_key and not is_loopback(host):
            raise ArgumentError(
                f"host {host!r} can be reached from elsewhere and there is no key, expected --api-key, "
                "$PYOMNI_API_KEY, or a host of this machine alone such as 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, as seen by itself alone."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
