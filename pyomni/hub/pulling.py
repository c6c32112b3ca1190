"""From a name to a model on disk: fetch, convert, put in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from gguf import GGMLQuantizationType

from pyomni.convert import FILE_TYPES, convert_files
from pyomni.convert.policy import Role, check_type, n_bytes
from pyomni.errors import ArgumentError, DownloadError, OutputFileError
from pyomni.folders import models_folder
from pyomni.hub import remote, store
from pyomni.hub.checkpoint import CODEC, LocalCheckpoint
from pyomni.hub.extra import need
from pyomni.hub.names import Name
from pyomni.hub.remote import Listing, RemoteFile

__all__ = ["pull"]

#: Called as ``progress(stage, what, bytes_done, bytes_in_all)``; the stage is ``download`` or ``convert``.
Progress = Callable[[str, str, int, int], object]


def pull(
    name: str,
    type: str | None = None,  # noqa: A002 - what users type, as in --type
    *,
    force: bool = False,
    discard: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], object] | None = None,
) -> Path:
    """Fetch a model from a Hugging Face hub, convert it, and return its file; nothing to do if it is here.

    A run that was interrupted or killed is gone on with by the next one. Several processes may pull at once:
    those after one repository take turns.

    Parameters
    ----------
    name : ``qwen3-tts-0.6b-customvoice``, ``owner/repo``, either with ``:TYPE`` behind it
    type : of the large matrices, as in `convert`; None takes the name's, else the model's default
    force : ask the hub again for a model that is here; files that did not change are not fetched again
    discard : remove the checkpoint once the model is here. It stays by default, so that another type costs no
        second download; where room for a download is short, checkpoints of other models that are converted
        already go first, the oldest before the newer
    progress : called as ``progress(stage, what, bytes_done, bytes_in_all)``, the stage being
        ``download`` or ``convert``
    tell : called with a sentence where something takes long or is removed

    Returns
    -------
    path of the main GGUF file, for `load`; the name does as well

    Raises
    ------
    ArgumentError
        No such name or type, or two types.
    DownloadError
        There is no such repository, it lacks a file, the hub cannot be reached or sends other bytes than it
        promised; or the extra ``hub`` is not installed.
    OutputFileError
        The disk has no room or cannot be written.
    ModelFormatError, UnsupportedModel, ModelFileError
        The checkpoint cannot be converted, as in `convert`.
    """
    wanted = Name.expect(name)
    if type is not None:
        check_type(type)
        if wanted.type not in (None, type):
            raise ArgumentError(f"{name!r} names type {wanted.type}, and {type} was asked for: expected one")
    kind = type or wanted.type or wanted.default
    exact = Name(wanted.text, wanted.repo, kind, kind)
    if not force and not discard and (found := store.find(exact)):
        return found.path
    need("huggingface_hub")
    say = tell or (lambda text: None)
    wait = partial(say, f"another process is pulling {wanted.repo}: waiting for it")
    with store.locked(wanted.repo, wait):
        place = store.place_of(exact, kind)
        store.recover(place.parent)
        checkpoint = LocalCheckpoint(store.downloads(wanted.repo))
        if force or not store.find(exact):
            listing = _fetch(checkpoint, wanted.repo, kind, progress, say)
            _convert(checkpoint.folder, exact, place, listing.revision, progress)
        if discard and checkpoint.folder.is_dir():
            with store.writing(checkpoint.folder):
                shutil.rmtree(checkpoint.folder)
        return place


def _fetch(
    checkpoint: LocalCheckpoint,
    repo: str,
    kind: str,
    progress: Progress | None,
    say: Callable[[str], object],
) -> Listing:
    """Bring the checkpoint here, small files first: they tell whether the large ones are wanted."""
    try:
        listing = remote.listing(repo)
    except DownloadError as error:
        last = checkpoint.last()
        if last is None:
            raise
        say(f"{error}: using what was downloaded before")
        return last
    checkpoint.begin(listing)
    checkpoint.get(listing, checkpoint.small(listing), lambda path, n_bytes: None)
    weights = checkpoint.weights(listing)
    missing = checkpoint.missing_bytes(listing, weights)
    _make_room(repo, missing + _size_after(weights, kind), say)
    total = sum(file.size or 0 for file in weights)
    done = total - missing

    def moved(path: str, n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        if progress:
            progress("download", path, done, total)

    checkpoint.get(listing, weights, moved)
    checkpoint.end(listing, [*checkpoint.small(listing), *weights])
    return listing


def _convert(folder: Path, name: Name, place: Path, revision: str, progress: Progress | None) -> None:
    """Convert into a folder of its own, and move that to its place when it is whole."""
    made = store.making() / place.parent.name
    with store.writing(made):
        shutil.rmtree(made, ignore_errors=True)  # of a run that was killed
        made.mkdir(parents=True)
    try:
        convert_files(
            folder, made / place.name, name.type or name.default, progress and partial(progress, "convert")
        )
        with store.writing(place):
            store.record(made, name, name.type or name.default, revision)
            store.move_in(made, place.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _size_after(weights: Iterable[RemoteFile], kind: str) -> int:
    """About how many bytes the conversion writes: BF16 weights become the type, a codec stays as it is."""
    bulk = FILE_TYPES[kind].kinds[Role.BULK]
    scale = n_bytes((256,), bulk) / n_bytes((256,), GGMLQuantizationType.BF16)
    return sum(
        int((file.size or 0) * (1 if file.path.startswith(f"{CODEC}/") else scale)) for file in weights
    )


def _make_room(repo: str, needed: int, say: Callable[[str], object]) -> None:
    """Remove other models' checkpoints until there is room; only those that can be done without.

    Raises
    ------
    OutputFileError
        There is too little all the same.
    """
    root = models_folder()
    if _free(root) >= needed:
        return
    converted = {one.repo for one in store.held()} - {repo}
    folders = {one: store.downloads(one) for one in converted if store.downloads(one).is_dir()}
    for other in sorted(folders, key=lambda one: folders[one].stat().st_mtime):
        if _free(root) >= needed:
            return
        try:
            with store.locked(other):
                say(f"removing the downloaded checkpoint of {other}, which is converted, to make room")
                shutil.rmtree(folders[other], ignore_errors=True)
        except DownloadError:  # somebody is using it
            continue
    if (free := _free(root)) < needed:
        raise OutputFileError(
            f"{repo}: needs about {needed / 1e9:.2f} GB in {root}, {free / 1e9:.2f} GB are free; "
            "$PYOMNI_MODELS names another folder"
        )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
