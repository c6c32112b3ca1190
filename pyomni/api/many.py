"""Several speeches on the lanes of a model: a lane whose text ends takes the next one at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from pyomni.api.planning import AnyVoice, Planner, Text, find_voice
from pyomni.api.receipts import Issuer
from pyomni.api.result import Speech, speech_of
from pyomni.errors import PyOmniError
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import SpeechEngine
from pyomni.pipelines.long import perform, start
from pyomni.pipelines.script import Made, Script
from pyomni.receipt import Issue

__all__ = ["WINDOW", "Prepared", "SpeechRequest", "each", "perform_all", "prepare"]

#: Requests that are laid out before the first of them is spoken: lanes run empty only once in so many.
WINDOW = 512


@dataclass(frozen=True)
class SpeechRequest:
    """One speech of many; the fields are the arguments of `SpeechModel.speak`."""

    text: Text
    voice: AnyVoice = None
    language: str | None = None
    instruct: str | None = None
    options: SpeechOptions = field(default_factory=SpeechOptions)


class Prepared(NamedTuple):
    """A request that was checked and laid out, and what makes its receipt."""

    script: Script
    issue: Issue


def prepare(meta: SpeechMetadata, planner: Planner, issuer: Issuer, request: SpeechRequest) -> Prepared:
    """Check a request and lay it out; raises what `SpeechModel.speak` does before it speaks."""
    who = find_voice(meta, request.voice)
    text, options = request.text, request.options
    asked = {"language": request.language, "instruct": request.instruct}
    script = planner.script(text, None if request.voice is None else who, options=options, **asked)
    said = text if isinstance(text, str) else None
    return Prepared(script, issuer.of(script.seed, who, options, text=said, **asked))


def perform_all(engine: SpeechEngine, prepared: Sequence[Prepared]) -> Generator[Speech, None, None]:
    """Speak what was prepared and yield it in order; it holds the model until it ends or is closed."""
    if not prepared:
        return
    timings, offset = Timings(), 0
    with engine.use():
        events = start(engine, [one.script for one in prepared], timings)
        for script, issue in prepared:
            made = Made(timings)
            blocks = perform(engine, script, events, made, offset)
            yield speech_of(blocks, made, script.seed, engine.meta.sample_rate, engine.meta.n_groups, issue)
            offset += len(script.parts)


def each(
    engine: SpeechEngine, prepare_one: Callable[[SpeechRequest], Prepared], requests: Iterable[SpeechRequest]
) -> Iterator[Speech | PyOmniError]:
    """Speak requests as they come, `WINDOW` at a time, and yield in order what became of each."""
    waiting = iter(requests)
    while window := list(islice(waiting, WINDOW)):
        found: list[Prepared | PyOmniError] = []
        for request in window:
            try:
                found.append(prepare_one(request))
            except PyOmniError as error:
                found.append(error)
        speeches = perform_all(engine, [one for one in found if isinstance(one, Prepared)])
        try:
            for one in found:
                yield one if isinstance(one, PyOmniError) else next(speeches)
        finally:
            speeches.close()
