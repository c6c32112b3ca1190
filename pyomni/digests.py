"""Names for contents: what tells two voices, texts, codes or model files apart."""

from __future__ import annotations

import hashlib

__all__ = ["content_key", "short_key"]

#: Hexadecimal digits of a digest that people are shown: 128 bits.
SHORT = 32


def content_key(*parts: bytes | str) -> str:
    """Return a name for what these parts determine: the sha256 of them and their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def short_key(*parts: bytes | str) -> str:
    """Return the first half of `content_key`, for receipts, where people compare it."""
    return content_key(*parts)[:SHORT]
