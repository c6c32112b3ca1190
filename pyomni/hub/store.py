"""Where pulled models lie, and how they come and go whole.

    models/NAME-TYPE/NAME-TYPE.gguf    and its siblings, with pulled.json: where they came from
    models/.downloads/OWNER/REPO/      the checkpoint as fetched, and what of it is there
    models/.making/                    what is being converted, put aside or removed
    models/.locks/OWNER--REPO.lock     held by whoever changes anything of one repository

A model's folder appears and goes by one rename, so whoever looks sees a whole one or none.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyomni.errors import DownloadError, ModelFileError, OutputFileError, PyOmniError
from pyomni.folders import models_folder
from pyomni.hub.extra import need
from pyomni.hub.names import TYPES, Name
from pyomni.siblings import SIBLINGS, sibling_path

__all__ = [
    "Held",
    "downloads",
    "fetched",
    "find",
    "folder_bytes",
    "held",
    "locked",
    "making",
    "move_in",
    "place_of",
    "record",
    "recover",
    "remove",
    "writing",
]

RECORD = "pulled.json"


@dataclass(frozen=True)
class Held:
    """A model that is here.

    Attributes
    ----------
    name, repo, type : as in `Name`; the type is known
    revision : the commit it was made of
    path : its main file
    n_bytes : of all its files
    """

    name: str
    repo: str
    type: str
    revision: str
    path: Path
    n_bytes: int

    @property
    def files(self) -> list[Path]:
        """The model's files, the main one first."""
        beside = [sibling_path(self.path, sibling) for sibling in SIBLINGS]
        return [self.path, *(path for path in beside if path.is_file())]


def place_of(name: Name, kind: str) -> Path:
    """Return the main file of a model of one type, there or not."""
    stem = f"{name.stem}-{kind}"
    return models_folder() / stem / f"{stem}.gguf"


def making() -> Path:
    """Return the folder for what is on its way in or out."""
    return models_folder() / ".making"


def downloads(repo: str) -> Path:
    """Return the folder a repository is fetched to. It has the repository's name, which the files keep."""
    return models_folder() / ".downloads" / repo


def fetched() -> list[str]:
    """Return the repositories of which a checkpoint, or a part of one, is here."""
    return sorted(f"{path.parent.name}/{path.name}" for path in downloads("").glob("*/*") if path.is_dir())


def held() -> list[Held]:
    """Return every model that is here, by name and type."""
    root = models_folder()
    if not root.is_dir():
        return []
    found = (_read(path) for path in sorted(root.iterdir()) if not path.name.startswith("."))
    return sorted((one for one in found if one), key=lambda one: (one.name, TYPES.index(one.type)))


def find(name: Name) -> Held | None:
    """Return the model of a name that is here: of the type it names, else of the default one, else any."""
    kinds = (name.type,) if name.type else (name.default, *TYPES)
    return next((one for kind in kinds if (one := _read(place_of(name, kind).parent))), None)


def record(folder: Path, name: Name, kind: str, revision: str) -> None:
    """Write down in a model's folder where it came from."""
    entry = {"name": name.text, "repo": name.repo, "type": kind, "revision": revision}
    (folder / RECORD).write_text(json.dumps(entry, indent=1), encoding="utf-8")


def _read(folder: Path) -> Held | None:
    """What a folder's record says; None where there is none or it is no longer true."""
    path = folder / f"{folder.name}.gguf"
    try:
        entry = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        texts = [entry[key] for key in ("name", "repo", "type", "revision")]
        n_bytes = sum(one.stat().st_size for one in folder.glob("*.gguf"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(text, str) for text in texts) or texts[2] not in TYPES or not path.is_file():
        return None
    name, repo, kind, revision = texts
    return Held(name, repo, kind, revision, path, n_bytes)


def move_in(made: Path, place: Path) -> None:
    """Put a finished folder in its place; one that was there goes. Under the repository's lock."""
    old = _aside(place)
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    made.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def recover(place: Path) -> None:
    """Undo or finish a `move_in` or `remove` that was killed. Under the repository's lock."""
    old = _aside(place)
    shutil.rmtree(_gone(place), ignore_errors=True)
    if old.is_dir() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _aside(place: Path) -> Path:
    return making() / f"{place.name}.old"


def _gone(place: Path) -> Path:
    """Where a folder is while it is removed; nothing comes back from there."""
    return making() / f"{place.name}.gone"


def remove(name: Name) -> tuple[list[Held], int]:
    """Remove a model: one type where the name has one, else all of them and what was downloaded.

    Returns
    -------
    the models removed, and the bytes freed

    Raises
    ------
    ModelFileError
        Nothing of it is here.
    DownloadError
        Another process is pulling it.
    OutputFileError
        A file cannot be removed.
    """
    kinds = (name.type,) if name.type else TYPES
    gone: list[Held] = []
    freed = 0
    with locked(name.repo), writing(models_folder()):
        for kind in kinds:
            place = place_of(name, kind).parent
            recover(place)
            if place.is_dir():
                one = _read(place)
                freed += folder_bytes(place)
                gone += [one] if one else []
                making().mkdir(exist_ok=True)
                place.rename(_gone(place))
                shutil.rmtree(_gone(place))
        if name.type is None and downloads(name.repo).is_dir():
            freed += folder_bytes(downloads(name.repo))
            shutil.rmtree(downloads(name.repo))
    if not freed:
        raise ModelFileError(f"model {str(name)!r} is not here, expected one that `pyomni pull --list` shows")
    return gone, freed


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def locked(repo: str, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a repository's lock: one process at a time changes what is here of it.

    The system drops the lock of a process that ends, however it ends. The file stays, since a lock on a file
    that somebody removed excludes nobody.

    Parameters
    ----------
    repo : ``owner/repo``
    waiting : called once where another holds it, before waiting; None does not wait

    Raises
    ------
    DownloadError
        Another process holds it.
    OutputFileError
        The folder cannot be written.
    """
    filelock = need("filelock")
    path = models_folder() / ".locks" / f"{repo.replace('/', '--')}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if waiting is None:
                raise DownloadError(f"{repo}: another process is pulling it, expected it free") from None
            waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into our words.

    Raises
    ------
    OutputFileError
    """
    try:
        yield
    except PyOmniError:
        raise
    except OSError as error:
        raise OutputFileError(
            f"{error.filename or path}: cannot be written ({error.strerror or error})"
        ) from error
