"""Speak the records that are not done yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.audio.formats import format_of
from pyomni.batch.folder import Folder
from pyomni.batch.records import BadRecord, Record
from pyomni.errors import PyOmniError
from pyomni.voices import Voice

if TYPE_CHECKING:
    from pyomni.api import Speech, SpeechModel

__all__ = ["Done", "run"]


@dataclass
class Done:
    """How far a batch is: records spoken now, done before, and failed, and seconds of sound spoken now."""

    spoken: int = 0
    before: int = 0
    failed: int = 0
    seconds: float = 0.0


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
    folder : Folder
        Entered already.
    format : str
        Of the files, as of `Speech.save`.
    clips : path, optional
        Where relative paths of clips begin (default: the working directory).
    on_progress : callable, optional
        Called after each record.

    Raises
    ------
    OutputFileError
        The folder cannot be written. What a record alone is to blame for is in its line of the manifest.
    """
    format = format_of("-", format)  # noqa: A001
    done = Done()
    told = on_progress or (lambda _: None)
    model_hash = model.fingerprint
    taken: deque[tuple[Record, str]] = deque()  # those whose speech is to come, in order

    def fail(record: Record | BadRecord, error: PyOmniError, key: str = "") -> None:
        done.failed += 1
        said = f"line {record.line}: {error}"
        folder.add(
            {"id": record.id, "line": record.line, "input": key, "error": said, "kind": type(error).__name__}
        )
        told(done)

    def requests() -> Iterator[Any]:
        for record in records:
            if isinstance(record, BadRecord):
                fail(record, record.error)
                continue
            key = record.key(format, model_hash)
            if folder.has(record.id, key):
                done.before += 1
                told(done)
                continue
            try:
                request = _request(model, record, clips)
            except PyOmniError as error:
                fail(record, error, key)
                continue
            taken.append((record, key))
            yield request

    for speech in model.speak_each(requests()):
        record, key = taken.popleft()
        if isinstance(speech, PyOmniError):
            fail(record, speech, key)
            continue
        folder.add(_write(speech, record, key, folder.path, format))
        done.spoken += 1
        done.seconds += speech.seconds
        told(done)
    return done


def _request(model: SpeechModel, record: Record, clips: Path | None) -> Any:
    from pyomni.api import SpeechRequest

    words, options = record.words, record.options
    voice: str | Voice | None = words.get("voice")
    if "clone" in words:
        voice = model.clone((clips or Path()) / words["clone"], words.get("transcript"))
    elif "design" in words:
        voice = Voice.design(words["design"])
    if record.max_seconds is not None:
        n_frames = max(1, int(record.max_seconds * model.sample_rate / model.hop))
        options = replace(options, max_frames=n_frames)
    return SpeechRequest(record.text, voice, words.get("language"), words.get("instruct"), options)


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
