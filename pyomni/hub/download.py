"""One file from a hub to disk: resumed where it stopped, checked before it gets its name.

The library's own download begins anew when its process was killed, and compares sizes alone; a shard is
gigabytes, so here a part stays under a name made of its checksum, and the next run goes on with it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyomni.errors import DownloadError
from pyomni.hub import remote
from pyomni.hub.extra import need
from pyomni.hub.remote import Listing, RemoteFile
from pyomni.hub.store import writing

__all__ = ["fetch", "part_of"]

TRIES = 5  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second of them; each later one waits twice as long
LONGEST = 300  # seconds that a hub may ask us to wait
BLOCK = 1 << 20
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that go by


class _Broken(Exception):
    """The transfer ended early; what came is good. The hub wants to be left alone for `wait` seconds."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class _Spoiled(Exception):
    """What came is not the file."""


def part_of(listing: Listing, file: RemoteFile, place: Path) -> Path:
    """Return where the part of a file lies: another content's part has another name."""
    key = hashlib.sha256(listing.identity(file).encode()).hexdigest()[:12]
    return place.with_name(f".{place.name}.{key}.part")


def fetch(listing: Listing, file: RemoteFile, place: Path, moved: Callable[[int], object]) -> None:
    """Fetch one file; `place` appears when it is whole and its checksum is right.

    Parameters
    ----------
    listing : the repository, at the commit to fetch from
    file : one of its files
    place : where to; its folder is there
    moved : called with the number of bytes that came, negative where some were thrown away

    Raises
    ------
    DownloadError
        The hub lacks the file, keeps breaking off, or sends other bytes than it promised.
    OutputFileError
        The disk is full or cannot be written; what came before stays.
    """
    part = part_of(listing, file, place)
    what, failures, spoiled = f"{listing.repo}: {file.path}", 0, 0
    while True:
        before = _size(part)
        try:
            _transfer(listing, file, part, moved)
            break
        except _Spoiled as error:
            spoiled += 1
            moved(-_size(part))
            with writing(part):
                part.unlink(missing_ok=True)
            if spoiled > 1:
                raise DownloadError(f"{what} {error}, twice; it is not kept") from None
        except _Broken as error:
            failures = failures + 1 if _size(part) <= before else 0
            if failures >= TRIES:
                raise DownloadError(
                    f"{what} broke off {TRIES} times at byte {_size(part)} ({error}), "
                    f"expected {_bytes(file)}; the same command goes on from there"
                ) from None
            time.sleep(max(PAUSE * 2 ** max(failures - 1, 0), error.wait))
    with writing(place):
        part.replace(place)


def _transfer(listing: Listing, file: RemoteFile, part: Path, moved: Callable[[int], object]) -> None:
    """Bring `part` to its end with one request, and check it."""
    with writing(part), part.open("ab") as out:
        start = out.tell()
        digest = _digest(file)
        _hash_part(part, start, digest)
        if file.size is None or start < file.size or start == 0:
            with _answer(listing, file, start) as response:
                if start and not _continues(response, start):
                    out.truncate(0)  # the whole file comes instead
                    moved(-start)
                    start, digest = 0, _digest(file)
                for block in response.iter_bytes():  # as they come: whole blocks would lose a broken one
                    out.write(block)
                    digest.update(block)
                    start += len(block)
                    moved(len(block))
                    if file.size is not None and start > file.size:
                        break
        out.flush()
        os.fsync(out.fileno())
    if file.size is not None and start < file.size:
        raise _Broken("the hub ended the transfer")
    if file.size is not None and start > file.size:
        raise _Spoiled(f"has more than the {file.size} bytes expected")
    kind, _, expected = (file.checksum or "").partition(":")
    if kind and digest.hexdigest() != expected:
        name = {"git": "git checksum"}.get(kind, kind)
        raise _Spoiled(f"has the {name} {digest.hexdigest()}, expected {expected}")


@contextmanager
def _answer(listing: Listing, file: RemoteFile, start: int) -> Iterator[Any]:
    """The hub's answer to a request for the bytes from `start`."""
    hub = need("huggingface_hub")
    url, headers = remote.file_request(listing.repo, file.path, listing.revision)
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with hub.get_session().stream("GET", url, headers=headers, timeout=remote.TIMEOUT) as response:
            if response.status_code == 416:
                raise _Spoiled(f"ends before byte {start}, expected {_bytes(file)}")
            hub.utils.hf_raise_for_status(response)
            yield response
    except hub.errors.EntryNotFoundError as error:
        raise _missing(listing, file) from error
    except (hub.errors.HfHubHTTPError, hub.errors.OfflineModeIsEnabled) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in PASSING:
            raise _Broken(f"status {status}", _wait(error)) from error
        if status == 404:
            raise _missing(listing, file) from error
        raise remote.refusal(listing.repo, error) from error
    except hub.errors.HTTPError as error:  # the connection, not an answer
        raise _Broken(" ".join(str(error).split()) or type(error).__name__) from error


def _wait(error: Any) -> float:
    """Seconds to wait that an answer names, within reason."""
    named = str(error.response.headers.get("Retry-After", ""))
    return float(min(int(named), LONGEST)) if named.isdecimal() else 0.0


def _missing(listing: Listing, file: RemoteFile) -> DownloadError:
    return DownloadError(f"{listing.repo}: the hub lists {file.path} and has it not, expected {_bytes(file)}")


def _continues(response: Any, start: int) -> bool:
    """Whether the answer is what was asked for, the file from `start` on."""
    came = str(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and came.startswith(f"bytes {start}-")


def _digest(file: RemoteFile) -> Any:
    if file.checksum and file.checksum.startswith("git:"):
        return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    return hashlib.sha256()


def _hash_part(part: Path, n_bytes: int, digest: Any) -> None:
    if n_bytes:
        with part.open("rb") as source:
            while block := source.read(BLOCK):
                digest.update(block)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _bytes(file: RemoteFile) -> str:
    return "the file" if file.size is None else f"{file.size} bytes"
