"""A repository's checkpoint on disk: what is here of it, and fetching the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pyomni.convert.checkpoint import MODELS
from pyomni.convert.json_config import read_config
from pyomni.convert.qwen3_tts import MODEL_TYPE as TTS
from pyomni.errors import DownloadError, ModelFormatError, UnsupportedModel
from pyomni.hub.download import fetch, part_of
from pyomni.hub.remote import Listing, RemoteFile
from pyomni.hub.store import writing

__all__ = ["LocalCheckpoint"]

STATE = ".pulling.json"
CODEC = "speech_tokenizer"
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


class LocalCheckpoint:
    """The folder that one repository is fetched to. Whoever changes it holds the repository's lock.

    Parameters
    ----------
    folder : made by `begin`
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: dict[str, list[Any]] = {}  # path: identity and size of what was found right

    def last(self) -> Listing | None:
        """Return what the last run fetched, if every file of it is here: what can be used without a hub."""
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            files = tuple(RemoteFile(**file) for file in state["whole"])
            listing = Listing(state["repo"], state["revision"], files)
            self._checked = dict(state["checked"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return listing if files and all(self._is_here(listing, file) for file in files) else None

    def begin(self, listing: Listing) -> None:
        """Make the folder, and remove from it what is not of this commit."""
        self.last()  # for what it says about single files
        with writing(self.folder):
            (self.folder / CODEC).mkdir(parents=True, exist_ok=True)
            known = {self._place(file): file for file in listing.files}
            keep = {self.folder / STATE, *known}
            keep |= {part_of(listing, file, place) for place, file in known.items()}
            for path in self.folder.rglob("*"):
                if path not in keep and not path.is_dir():
                    path.unlink()
            for place, file in known.items():
                part = part_of(listing, file, place)
                looks_right = file.checksum and place.is_file() and place.stat().st_size == file.size
                if looks_right and not self._is_here(listing, file) and not part.exists():
                    place.replace(part)  # killed before it was noted: as a part it is checked, not fetched

    def small(self, listing: Listing) -> list[RemoteFile]:
        """Return the files that say what the weights are."""
        return [file for file in listing.files if not file.is_weights]

    def weights(self, listing: Listing) -> list[RemoteFile]:
        """Return the large files that the small ones, which are here, ask for.

        Raises
        ------
        DownloadError
            The repository lacks one of them, or holds no checkpoint.
        UnsupportedModel
            It is one of another model.
        ModelFormatError
            A configuration or an index is damaged.
        """
        if not (self.folder / "config.json").is_file():
            raise DownloadError(f"{listing.repo}: has no config.json, expected a checkpoint's repository")
        kind = read_config(self.folder / "config.json").text("model_type")
        if kind not in MODELS:
            raise UnsupportedModel(
                f"{listing.repo}: model_type is {kind!r}, expected one of {', '.join(MODELS)}"
            )
        paths = self._named("")
        if kind == TTS:
            paths += self._named(f"{CODEC}/")
        by_path = {file.path: file for file in listing.files}
        for path in paths:
            if path not in by_path:
                raise DownloadError(
                    f"{listing.repo}: has no {path}, expected it among the repository's files"
                )
        return [by_path[path] for path in paths]

    def _named(self, inside: str) -> list[str]:
        """Files of weights in one folder of the repository: those of its index, else the single one."""
        index = self.folder / inside / INDEX
        if not index.is_file():
            return [inside + SINGLE]
        found = read_config(index).values.get("weight_map")
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
            raise ModelFormatError(f"{index}: no 'weight_map', expected tensor names with their files")
        return [inside + name for name in sorted(set(found.values()))]

    def missing_bytes(self, listing: Listing, files: Iterable[RemoteFile]) -> int:
        """Return how many bytes of these files are not here."""
        return sum(max((file.size or 0) - self.here_bytes(listing, file), 0) for file in files)

    def here_bytes(self, listing: Listing, file: RemoteFile) -> int:
        """Return how many bytes of a file are here."""
        if self._is_here(listing, file):
            return file.size or 0
        part = part_of(listing, file, self._place(file))
        return part.stat().st_size if part.is_file() else 0

    def get(self, listing: Listing, files: Iterable[RemoteFile], moved: Callable[[str, int], object]) -> None:
        """Fetch the files that are not here.

        Parameters
        ----------
        listing : where from
        files : of the listing
        moved : called with a file's path and the bytes that came

        Raises
        ------
        As `fetch`.
        """
        for file in files:
            place = self._place(file)
            if not self._is_here(listing, file):
                fetch(listing, file, place, partial(moved, file.path))
                self._checked[file.path] = [listing.identity(file), place.stat().st_size]
                self._save(listing, ())

    def end(self, listing: Listing, files: Iterable[RemoteFile]) -> None:
        """Write down that all of these, which are what a conversion needs, are here."""
        self._save(listing, files)

    def _place(self, file: RemoteFile) -> Path:
        return self.folder / file.path

    def _is_here(self, listing: Listing, file: RemoteFile) -> bool:
        identity, size = self._checked.get(file.path, (None, None))
        place = self._place(file)
        return identity == listing.identity(file) and place.is_file() and place.stat().st_size == size

    def _save(self, listing: Listing, whole: Iterable[RemoteFile]) -> None:
        state = {
            "repo": listing.repo,
            "revision": listing.revision,
            "whole": [asdict(file) for file in whole],
            "checked": self._checked,
        }
        beside = self.folder / f"{STATE}.part"
        with writing(beside):
            beside.write_text(json.dumps(state, indent=1), encoding="utf-8")
            beside.replace(self.folder / STATE)
