"""Requests to ``/v1/chat/completions`` and what goes into them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import soundfile
from PIL import Image

URL = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Hello."}], "seed": 7, "temperature": 0.9, "max_tokens": 9}
ALOUD = {
    **ASK, "max_tokens": 2, "modalities": ["text", "audio"], "audio": {"voice": "aiden", "format": "wav"}
}  # fmt: skip


def clip(seconds: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).standard_normal(int(16000 * seconds)) * 0.1
    soundfile.write(buffer, noise, 16000, format="WAV")
    return buffer.getvalue()


def png(h: int = 64, w: int = 96) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (h, w, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A small PNG of very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * min(side, 40_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def heard(data: bytes | None = None, **more: Any) -> dict[str, Any]:
    data = clip() if data is None else data
    return {"type": "input_audio", "input_audio": {"data": b64(data), "format": "wav", **more}}


def seen(data: bytes, kind: str = "image") -> dict[str, Any]:
    return {"type": f"{kind}_url", f"{kind}_url": {"url": f"data:{kind}/x;base64,{b64(data)}"}}
