"""What was computed once for a voice, kept by its content: in memory, and on disk for the next process."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import OrderedDict
from pathlib import Path

from pyomni.errors import ArgumentError
from pyomni.folders import cache_folder

__all__ = ["DISK_MB", "MEMORY_BYTES", "Kept", "file_identity", "kept_for_voices"]

#: Of what voices cost, kept in memory: at the released sizes a clip of 10 s takes 5 MB in the codec decoder
#: and, as part of a prompt, up to 30 MB in the talker.
MEMORY_BYTES = 256 * 2**20

#: The same on disk; ``$PYOMNI_CACHE_MB`` sets another bound, and 0 keeps nothing there.
DISK_MB = 1024

SUFFIX = ".kept"
DIGEST = 32  # bytes of sha256 before the value in a file


def file_identity(path: Path) -> str:
    """Tell one model file from another: its absolute path, size and time of change."""
    found = path.stat()
    return f"{path.resolve()}:{found.st_size}:{found.st_mtime_ns}"


def kept_for_voices() -> Kept:
    """Return what the voices of a user share: below the cache folder, within `DISK_MB`.

    Raises
    ------
    ArgumentError
        ``$PYOMNI_CACHE_MB`` is no whole number of 0 or more.
    """
    bound = os.environ.get("PYOMNI_CACHE_MB") or str(DISK_MB)
    if not bound.isdecimal():
        raise ArgumentError(f"$PYOMNI_CACHE_MB is {bound!r}, expected a whole number, 0 or more")
    return Kept(MEMORY_BYTES, cache_folder() / "kept", int(bound) * 2**20)


class Kept:
    """Values by key, the least recently used going first, in memory and below a folder.

    A cache never fails a request: what cannot be written is not kept, what was damaged on disk is not there.
    Several processes may share a folder: a file appears whole or not at all.

    Parameters
    ----------
    max_bytes : int
        Kept in memory up to this size.
    folder : Path, optional
        Kept on disk below it as well, up to `max_disk_bytes`; None keeps nothing on disk.
    """

    def __init__(self, max_bytes: int, folder: Path | None = None, max_disk_bytes: int = 0) -> None:
        self._max_bytes, self._max_disk_bytes = max_bytes, max_disk_bytes
        self._folder = folder if max_disk_bytes > 0 else None
        self._values: OrderedDict[str, bytes] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes kept in memory now."""
        return sum(map(len, self._values.values()))

    def get(self, key: str) -> bytes | None:
        """Return a value, or None where it is not kept."""
        value = self._values.pop(key, None)
        if value is None:
            value = self._read(key)
        if value is not None:
            self._remember(key, value)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        self._remember(key, value)
        if self._folder is not None and len(value) + DIGEST <= self._max_disk_bytes:
            with contextlib.suppress(OSError):
                self._write(self._folder, key, value)

    def _remember(self, key: str, value: bytes) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        while self.n_bytes > self._max_bytes:
            self._values.popitem(last=False)

    def _read(self, key: str) -> bytes | None:
        if self._folder is None:
            return None
        path = self._folder / (key + SUFFIX)
        try:
            raw = path.read_bytes()
            if hashlib.sha256(raw[DIGEST:]).digest() != raw[:DIGEST]:
                path.unlink(missing_ok=True)
                return None
            os.utime(path)  # used now
        except OSError:
            return None
        return raw[DIGEST:]

    def _write(self, folder: Path, key: str, value: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # voices are nobody else's business
        handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(value).digest())
                file.write(value)
            Path(part).replace(folder / (key + SUFFIX))
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        files = sorted((p.stat().st_mtime_ns, p.stat().st_size, p) for p in folder.glob("*" + SUFFIX))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._max_disk_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
