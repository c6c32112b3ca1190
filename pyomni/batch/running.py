"""Speak the records that are not done yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyomni.audio.formats import format_of
from pyomni.batch.folder import Folder
from pyomni.batch.records import BadRecord, Record
from pyomni.errors import PyOmniError
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.api import Speech, SpeechModel

__all__ = ["Done", "Wanted", "Work", "run", "speak_wanted"]


@dataclass
class Done:
    """How far a batch is: records spoken now, done before, and failed, and seconds of sound spoken now."""

    spoken: int = 0
    before: int = 0
    failed: int = 0
    seconds: float = 0.0


class Wanted(NamedTuple):
    """A record to speak, its key, and the clip it speaks with: a path, or what is in the file."""

    record: Record
    key: str
    clip: Path | bytes | None


class Work:
    """What is to be done in a folder, and what became of it.

    Parameters
    ----------
    folder : Folder
        Entered already.
    format : str
        Of the files, as of `Speech.save`.
    model_hash : str
        Fingerprint of what speaks.
    clips : path, optional
        Where relative paths of clips begin (default: the working directory).
    on_progress : callable, optional
        Called after each record.
    """

    def __init__(
        self,
        folder: Folder,
        format: str,  # noqa: A002, the name users expect
        model_hash: str,
        clips: Path | None = None,
        on_progress: Callable[[Done], None] | None = None,
    ) -> None:
        self.folder, self.format, self.done = folder, format_of("-", format), Done()
        self.model_hash, self._clips = model_hash, clips or Path()
        self._told = on_progress or (lambda _: None)

    def wanted(self, records: Iterable[Record | BadRecord]) -> Iterator[Wanted]:
        """Yield the records that are not done yet; bad ones are told of on the way."""
        for record in records:
            if isinstance(record, BadRecord):
                self.take(record, "", record.error)
                continue
            key = record.key(self.format, self.model_hash)
            if self.folder.has(record.id, key):
                self.done.before += 1
                self._told(self.done)
                continue
            clip = record.words.get("clone")
            yield Wanted(record, key, None if clip is None else self._clips / clip)

    def take(self, record: Record | BadRecord, key: str, found: dict[str, Any] | PyOmniError) -> None:
        """Write down what became of a record: its line, once its file is there, or why it has none."""
        if isinstance(found, PyOmniError):
            self.done.failed += 1
            said = f"line {record.line}: {found}"
            kind = type(found).__name__
            found = {"id": record.id, "line": record.line, "input": key, "error": said, "kind": kind}
        else:
            self.done.spoken += 1
            self.done.seconds += found["seconds"]
        self.folder.add(found)
        self._told(self.done)


def run(
    model: SpeechModel,
    records: Iterable[Record | BadRecord],
    folder: Folder,
    *,
    format: str = "wav",  # noqa: A002, the name users expect
    clips: Path | None = None,
    on_progress: Callable[[Done], None] | None = None,
) -> Done:
    """Speak what is not done yet, on all lanes of the model, and return what became of the records.

    Parameters
    ----------
    model : SpeechModel
        Its lanes decode together.
    records : iterable
        Of `read_records`.
    folder, format, clips, on_progress
        As of `Work`.

    Raises
    ------
    OutputFileError
        The folder cannot be written. What a record alone is to blame for is in its line of the manifest.
    """
    work = Work(folder, format, model.fingerprint, clips, on_progress)
    for one, found in speak_wanted(model, work.wanted(records), folder.path, work.format):
        work.take(one.record, one.key, found)
    return work.done


def speak_wanted(
    model: SpeechModel,
    wanted: Iterable[Wanted],
    folder: Path,
    format: str,  # noqa: A002
) -> Iterator[tuple[Wanted, dict[str, Any] | PyOmniError]]:
    """Speak records on all lanes, and yield each with its line, once its file is written, or its error."""
    taken: deque[Wanted] = deque()  # those whose speech is to come, in order
    failed: deque[tuple[Wanted, PyOmniError]] = deque()

    def requests() -> Iterator[Any]:
        for one in wanted:
            try:
                request = _request(model, one)
            except PyOmniError as error:
                failed.append((one, error))
                continue
            taken.append(one)
            yield request

    for speech in model.speak_each(requests()):
        while failed:
            yield failed.popleft()
        one = taken.popleft()
        if isinstance(speech, PyOmniError):
            yield one, speech
        else:
            yield one, _write(speech, one.record, one.key, folder, format)
    yield from failed


def _request(model: SpeechModel, one: Wanted) -> Any:
    from pyomni.api import SpeechRequest

    words, options = one.record.words, one.record.options
    voice: str | Voice | None = words.get("voice")
    if one.clip is not None:
        voice = model.clone(one.clip, words.get("transcript"))
    elif "design" in words:
        voice = Voice.design(words["design"])
    if one.record.max_seconds is not None:
        n_frames = max(1, int(one.record.max_seconds * model.sample_rate / model.hop))
        options = replace(options, max_frames=n_frames)
    return SpeechRequest(words["text"], voice, words.get("language"), words.get("instruct"), options)


def _write(speech: Speech, record: Record, key: str, folder: Path, format: str) -> dict[str, Any]:  # noqa: A002
    """Write the file; its record's line in the manifest."""
    name = f"{record.id}.{format}"
    speech.save(folder / name, format)
    return {
        "id": record.id,
        "line": record.line,
        "input": key,
        "output": name,
        "bytes": (folder / name).stat().st_size,
        "seconds": speech.seconds,
        "frames": len(speech.codes),
        "seed": speech.seed,
        "finish_reason": speech.finish_reason,
        "receipt": None if speech.receipt is None else speech.receipt.to_dict(),
    }
