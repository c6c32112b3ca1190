"""Get the pinned ggml source: download through pip, check the hash, unpack to ``vendor/ggml``.

CMake runs this at every configure; once the folder carries the stamp of the current lock it does nothing
and needs no network, which is how a source distribution builds offline. Standard library only, since it runs
inside the isolated build environment.

Set ``PYOMNI_GGML_ARCHIVE`` to the path of the archive to use a copy already on disk; its hash is checked all
the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
LOCK = HERE / "ggml.lock"
DESTINATION = HERE / "ggml"
STAMP = ".fetched"

#: The oldest ggml that is built, and the advisories against the GGUF reader of older ones; SECURITY.md tells
#: how these are followed. Where an advisory appears, both change with the lock.
OLDEST = (0, 10, 0)
ADVISORIES = ("CVE-2025-53630", "CVE-2026-33298", "CVE-2026-27940")


class FetchError(Exception):
    """The pinned source could not be put in place; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Lock:
    """What ``ggml.lock`` says: an archive's package, version, sha256, two paths in it, ggml's version."""

    package: str
    version: str
    sha256: str
    folder: str
    licence: str
    ggml: str

    @property
    def stamp(self) -> str:
        """Text of the stamp file; it changes whenever the lock does."""
        return "".join(f"{key} = {value}\n" for key, value in vars(self).items())


def read_lock(path: Path) -> Lock:
    """Read a lock file of ``key = value`` lines.

    Raises
    ------
    FetchError
        It cannot be understood, or names a ggml whose GGUF reader has known holes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FetchError(f"{path}: cannot be read ({error.strerror})") from error
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=")[::2] for line in lines if line and not line.startswith("#")]
    values = {key.strip(): value.strip() for key, value in pairs}
    expected = set(Lock.__dataclass_fields__)
    if set(values) != expected or not all(values.values()):
        raise FetchError(
            f"{path}: has the keys {sorted(values)}, expected {sorted(expected)}, each with a value"
        )
    lock = Lock(**values)
    check_advisories(lock, path)
    return lock


def check_advisories(lock: Lock, path: Path) -> None:
    """Raise FetchError unless the ggml of a lock is one without known holes in its GGUF reader."""
    oldest = ".".join(map(str, OLDEST))
    if not re.fullmatch(r"\d+\.\d+\.\d+", lock.ggml):
        raise FetchError(f"{path}: names ggml {lock.ggml!r}, expected three numbers such as {oldest}")
    if tuple(map(int, lock.ggml.split("."))) < OLDEST:
        raise FetchError(
            f"{path}: names ggml {lock.ggml}, expected {oldest} or later: older ones may have "
            f"{', '.join(ADVISORIES)}, by which a GGUF file writes outside its memory"
        )


def check_sha256(archive: Path, expected: str) -> None:
    """Raise FetchError unless the file at `archive` has the sha256 `expected` (hexadecimal)."""
    digest = hashlib.sha256()
    try:
        with archive.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise FetchError(f"{archive}: cannot be read ({error.strerror})") from error
    if digest.hexdigest() != expected.lower():
        raise FetchError(
            f"{archive}: has sha256 {digest.hexdigest()}, expected {expected}; it was not unpacked"
        )


def safe_parts(name: str, archive: Path) -> tuple[str, ...]:
    """Split a member's name into its parts; raise FetchError if it points outside the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise FetchError(f"{archive}: holds '{name}', expected only paths below its top folder")
    return path.parts


def unpack(archive: Path, folder: str, licence: str, into: Path) -> None:
    """Unpack `folder` (found below the archive's top folder) of a tar archive to the new folder `into`.

    The file `licence` becomes ``LICENSE`` there, wherever the archive has it.

    Plain files and folders only. Every name in the archive is looked at before anything is written, so one
    that would escape refuses the whole archive, as does a link or a device inside the wanted folder.
    """
    wanted, terms = PurePosixPath(folder).parts, PurePosixPath(licence).parts
    try:
        with tarfile.open(archive) as tar:
            members = [(safe_parts(member.name, archive), member) for member in tar.getmembers()]
            inside = [(p[1 + len(wanted) :], m) for p, m in members if p[1 : 1 + len(wanted)] == wanted]
            found = [(("LICENSE",), m) for p, m in members if p[1:] == terms]
            for _, member in inside + found:
                if not (member.isfile() or member.isdir()):
                    raise FetchError(
                        f"{archive}: '{member.name}' is a link or a device, expected a plain file"
                    )
            if not any(member.isfile() for _, member in inside):
                raise FetchError(f"{archive}: has no files in '{folder}', expected the source of ggml there")
            if not found:
                raise FetchError(f"{archive}: has no file '{licence}', expected ggml's licence there")
            into.mkdir()
            for parts, member in [pair for pair in inside if pair[0] != ("LICENSE",)] + found:
                target = into.joinpath(*parts)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None  # a plain file always has contents
                with source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FetchError(f"{archive}: cannot be unpacked ({error})") from error


def download(lock: Lock, folder: Path) -> Path:
    """Download the archive named by `lock` into `folder` through pip and return its path.

    pip runs an archive's metadata step, code of that archive, as part of downloading it. ``--require-hashes``
    makes pip itself check the hash first, so nothing unverified is unpacked or run. Without build isolation
    that step needs no further download; it is possible wherever scikit-build-core is present, as in our own
    build environment.
    """
    requirement = folder / "ggml.txt"
    requirement.write_text(f"{lock.package}=={lock.version} --hash=sha256:{lock.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--no-binary", lock.package, "--require-hashes"]
    command += ["--requirement", str(requirement), "--dest", str(folder)]
    if importlib.util.find_spec("scikit_build_core") is not None:
        command.append("--no-build-isolation")
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        reason = run.stderr.strip() or run.stdout.strip()
        if found := re.search(r"Got\s+([0-9a-f]{64})\b", reason):  # the last line of pip's hash mismatch
            raise FetchError(
                f"{lock.package} {lock.version}: the archive pip found has sha256 {found[1]}, "
                f"expected {lock.sha256}; it was not unpacked"
            )
        raise FetchError(
            f"pip could not download {lock.package} {lock.version} (sha256 {lock.sha256}); without a "
            f"network, set PYOMNI_GGML_ARCHIVE to the path of that archive. pip said:\n{reason}"
        )
    archives = sorted(path for path in folder.iterdir() if path != requirement)
    if len(archives) != 1:
        raise FetchError(
            f"pip downloaded {[p.name for p in archives]}, expected one archive of {lock.package}"
        )
    return archives[0]


def in_place(lock: Lock, destination: Path) -> bool:
    """Tell whether `destination` already holds the source that `lock` names."""
    try:
        return (destination / STAMP).read_text(encoding="utf-8") == lock.stamp
    except OSError:
        return False


def fetch(lock: Lock, destination: Path, archive: Path | None = None) -> bool:
    """Put the source named by `lock` at `destination`; return False when it was there already.

    The folder appears whole or not at all: it is unpacked beside and renamed. A folder without our stamp is
    somebody's own and is left alone.

    Raises
    ------
    FetchError
        The archive is not to be had, has another hash, would escape, or lacks the folder; or `destination`
        is taken.
    """
    if in_place(lock, destination):
        return False
    if destination.exists() and not (destination / STAMP).is_file():
        raise FetchError(
            f"{destination}: is there but carries no {STAMP}, expected to create it; move it away first"
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ggml-", dir=destination.parent) as name:
        beside = Path(name)
        if archive is None:
            (beside / "download").mkdir()
            archive = download(lock, beside / "download")
        check_sha256(archive, lock.sha256)
        unpack(archive, lock.folder, lock.licence, beside / "new")
        (beside / "new" / STAMP).write_text(lock.stamp, encoding="utf-8")
        with contextlib.suppress(FileNotFoundError):
            destination.rename(beside / "old")
        try:
            (beside / "new").rename(destination)
        except OSError as error:
            if not in_place(lock, destination):  # unless another build was quicker
                raise FetchError(f"{destination}: cannot be written ({error.strerror})") from error
    return True


def main(argv: list[str] | None = None) -> int:
    """Run as a program: returns 0, or 1 with one message on stderr."""
    parser = argparse.ArgumentParser(description="Fetch the ggml source pinned in vendor/ggml.lock.")
    parser.add_argument("--lock", type=Path, default=LOCK, help="lock file (default: beside this program)")
    parser.add_argument(
        "--into", type=Path, default=DESTINATION, help="folder to create (default: vendor/ggml)"
    )
    options = parser.parse_args(argv)
    archive = os.environ.get("PYOMNI_GGML_ARCHIVE")
    try:
        lock = read_lock(options.lock)
        fresh = fetch(lock, options.into, Path(archive) if archive else None)
    except FetchError as error:
        print(f"fetch.py: error: {error}", file=sys.stderr)
        return 1
    state = "fetched" if fresh else "already in place"
    print(f"ggml {lock.ggml} from {lock.package} {lock.version}: {state}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
