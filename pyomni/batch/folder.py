"""The folder of a batch: sound files, and a manifest that says which are done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyomni.audio.formats import output_file
from pyomni.errors import ArgumentError, OutputFileError

__all__ = ["MANIFEST", "Folder"]

MANIFEST = "manifest.jsonl"
LOCK = ".batch.lock"


class Folder:
    """Where a batch goes. A record is done once the manifest has its line, which is after its file is whole.

    Use it as a context manager: it is one process's at a time.

    Parameters
    ----------
    path : path
        Made if it is not there.

    Raises
    ------
    OutputFileError
        It cannot be made or written.
    ArgumentError
        Another process is at work in it, or its manifest is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._done: dict[str, dict[str, Any]] = {}
        self._manifest: Any = None
        self._lock: Any = None

    def __enter__(self) -> Folder:
        from filelock import FileLock, Timeout

        with self._disk():
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / LOCK)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise ArgumentError(
                    f"{self.path}: another pyomni batch is at work there, expected to be alone"
                ) from None
        try:
            with self._disk():
                self._done = {line["id"]: line for line in self._lines() if self._whole(line)}
                for left in self.path.glob(".*.part"):  # of a process that was killed
                    left.unlink(missing_ok=True)
                with output_file(self.path / MANIFEST) as file:  # without what failed or was cut off
                    file.writelines(_line(line) for line in self._done.values())
                self._manifest = (self.path / MANIFEST).open("ab")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._manifest.close()
        self._lock.release()

    def has(self, name: str, key: str) -> bool:
        """Whether the record of this name is done, and was what `key` says."""
        return self._done.get(name, {}).get("input") == key

    def add(self, line: dict[str, Any]) -> None:
        """Write a record's line; it is on the disk when this returns."""
        with self._disk():
            self._manifest.write(_line(line))
            self._manifest.flush()
            os.fsync(self._manifest.fileno())

    def _whole(self, line: dict[str, Any]) -> bool:
        """Whether a line's file is there, as it was written; a failed record's has none."""
        try:
            return (self.path / line["output"]).stat().st_size == line["bytes"]
        except (OSError, TypeError, KeyError):
            return False

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.path / MANIFEST
        if not path.exists():
            return
        for number, raw in enumerate(path.read_bytes().splitlines(keepends=True), 1):
            if not raw.endswith(b"\n"):
                return  # a process was killed while it wrote it
            try:
                value = json.loads(raw)
                name = value["id"]
            except (ValueError, KeyError, TypeError, RecursionError):
                name = None
            if not isinstance(name, str):
                raise ArgumentError(
                    f"{path}: line {number} is no record's, expected a manifest of pyomni batch"
                )
            yield value

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OutputFileError:
            raise
        except OSError as error:
            raise OutputFileError(
                f"folder {str(self.path)!r} could not be written: {error.strerror or error}"
            ) from error


def _line(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
