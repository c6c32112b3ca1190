"""The text loop: prompts in, tokens out, on the lanes of one language model. Streaming is the primitive.

A lane that holds the beginning of a prompt reads only the rest. Lanes that write step together, so the
weights are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.chat_options import TextGeneration
from pyomni.components.lm import TOKENS
from pyomni.errors import ContextFull
from pyomni.pipelines.held import Held, Prompt, longest
from pyomni.sampling import TEXT_STREAM, Uniforms, penalised, pick

__all__ = ["PREFILL_ROWS", "TextEvent", "TextRequest", "TextRules", "ThinkTimings", "write"]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Rows read in one graph: a long prompt takes no more memory than a short one beside its KV cache.
PREFILL_ROWS = 512


class Thought(Protocol):
    """What reading leaves, as `pyomni.components.lm.Step`."""

    @property
    def logits(self) -> F32: ...

    @property
    def accepted(self) -> F32 | None: ...


class Info(Protocol):
    """What the loop needs to know of a model."""

    @property
    def n_deepstack(self) -> int:
        """First layers that rows may be added behind."""

    @property
    def accept_layer(self) -> int:
        """Layers behind which a talker listens; 0 where none does."""


class Thinker(Protocol):
    """The part of `pyomni.components.lm.DecoderLM` the loop needs."""

    n_lanes: int
    n_ctx: int

    @property
    def info(self) -> Info: ...

    def embed(self, table: int, ids: npt.ArrayLike) -> F32: ...

    def decode(
        self,
        rows: npt.ArrayLike,
        *,
        lanes: Sequence[int],
        positions: npt.ArrayLike | None = None,
        deepstack: npt.ArrayLike | None = None,
        accepted: bool = False,
    ) -> Thought: ...

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        """Forget what a lane holds from there on."""


@dataclass(frozen=True)
class TextRequest:
    """One prompt to answer, and whether nobody waits for that any more."""

    prompt: Prompt
    options: TextGeneration
    gone: Callable[[], bool] | None = None

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for it; asked before each token, and then its lane is free."""
        return self.gone is not None and self.gone()


class TextRules(NamedTuple):
    """What an answer may hold.

    Attributes
    ----------
    ends : frozenset of int
        Tokens that end it.
    silent : bool [n_vocab]
        Tokens it never holds.
    """

    ends: frozenset[int]
    silent: npt.NDArray[np.bool_]


class TextEvent(NamedTuple):
    """What `write` yields: a token of a request, or how the request ended.

    Attributes
    ----------
    request : int
        Its place in the requests given.
    token : int or None
        None in the last event of a request.
    finish_reason : {"stop", "length", "cancelled"} or None
        In the last event: an end token was drawn, `max_tokens` was reached without one, or nobody wanted it
        any more.
    lane : int
        Where it is written.
    n_reused : int
        Tokens of its prompt that the lane held.
    """

    request: int
    token: int | None
    finish_reason: str | None
    lane: int
    n_reused: int = 0


@dataclass
class ThinkTimings:
    """Seconds spent, and on how much. Tokens count each lane, steps all lanes once."""

    prefill_s: float = 0.0
    decode_s: float = 0.0
    n_prefill: int = 0
    n_reused: int = 0
    n_tokens: int = 0
    n_steps: int = 0


@dataclass
class _Writing:
    """One request on its way."""

    index: int
    request: TextRequest
    n_reused: int
    logits: F32  # [n_vocab]
    seen: npt.NDArray[np.bool_]  # [n_vocab]
    written: npt.NDArray[np.bool_]  # [n_vocab]
    draws: Uniforms
    n_tokens: int = 0

    def pick(self, rules: TextRules) -> int:
        """Draw the next token."""
        options = self.request.options
        scores = penalised(
            self.logits,
            seen=self.seen,
            written=self.written,
            repetition=options.repetition_penalty,
            presence=options.presence_penalty,
            silent=rules.silent,
        )
        u = 0.0 if options.draw.temperature == 0 else float(self.draws.frame(self.n_tokens, 1)[0])
        return pick(scores, options.draw, u)


def write(
    thinker: Thinker,
    held: list[Held],
    requests: Iterable[TextRequest],
    rules: TextRules,
    timings: ThinkTimings | None = None,
) -> Iterator[TextEvent]:
    """Answer prompts on the lanes of a language model and yield tokens as they are drawn.

    Each prompt is read alone, in the free lane that holds most of it; then the lanes step together.
    Token n of a request draws with the number (seed, n), so an answer does not depend on its lane, its
    neighbours or when it started. After `max_tokens` tokens one more is drawn, to tell "stop" from "length".

    Parameters
    ----------
    thinker : Thinker
    held : list of Held, one for each lane
        What the lanes hold; kept up to date as the loop runs. A failure empties them.
    requests : iterable of TextRequest
        Taken one by one, when a lane is free. An iterator that has none now is asked again before the next
        token, and may have one then; the loop ends when no lane is live and none comes.
    rules : TextRules
    timings : ThinkTimings, optional
        Added to as the loop runs.

    Yields
    ------
    TextEvent

    Raises
    ------
    ContextFull
        A prompt and its answer do not fit the session.
    """
    clock = timings if timings is not None else ThinkTimings()
    waiting = enumerate(requests)
    live: dict[int, _Writing] = {}
    try:
        while True:
            for lane in [lane for lane in sorted(live) if live[lane].request.unwanted]:
                yield TextEvent(live.pop(lane).index, None, "cancelled", lane)
            while len(live) < thinker.n_lanes and (item := next(waiting, None)) is not None:
                index, request = item
                free = [lane for lane in range(thinker.n_lanes) if lane not in live]
                lane = longest(held, request.prompt, free)
                begun = _start(thinker, held, lane, index, request, rules, clock)
                if begun is None:
                    yield TextEvent(index, None, "cancelled", lane)
                else:
                    live[lane] = begun
            if not live:
                return
            lanes, tokens = [], []
            for lane in sorted(live):
                state = live[lane]
                token = state.pick(rules)
                if token in rules.ends or state.n_tokens >= state.request.options.max_tokens:
                    del live[lane]
                    reason = "stop" if token in rules.ends else "length"
                    yield TextEvent(state.index, None, reason, lane, state.n_reused)
                    continue
                lanes.append(lane)
                tokens.append(token)
            if not lanes:
                continue
            for lane, token in zip(lanes, tokens, strict=True):
                yield TextEvent(live[lane].index, token, None, lane, live[lane].n_reused)
            start = perf_counter()
            rows = thinker.embed(TOKENS, tokens)[:, None, :]  # [L, 1, n_embd]
            at = np.array([held[lane].place() for lane in lanes])
            positions = None
            if any(at != [len(held[lane]) for lane in lanes]):
                positions = np.broadcast_to(at[:, None, None], (len(lanes), 1, 3))
            logits = thinker.decode(rows, lanes=lanes, positions=positions).logits
            clock.decode_s += perf_counter() - start
            clock.n_tokens += len(lanes)
            clock.n_steps += 1
            for i, (lane, token) in enumerate(zip(lanes, tokens, strict=True)):
                state = live[lane]
                held[lane].ids.append(token)
                state.logits = logits[i].copy()
                state.seen[token] = state.written[token] = True
                state.n_tokens += 1
    except GeneratorExit:
        raise  # the lanes are whole: what they hold is known between any two steps
    except BaseException:
        for lane in range(thinker.n_lanes):  # also mends a session that was left half way
            held[lane] = Held()
            thinker.rewind(lane)
        raise


def _start(
    thinker: Thinker,
    held: list[Held],
    lane: int,
    index: int,
    request: TextRequest,
    rules: TextRules,
    clock: ThinkTimings,
) -> _Writing | None:
    """Read what a lane does not hold yet of a prompt; None where nobody wants it any more."""
    prompt, start = request.prompt, perf_counter()
    if len(prompt) >= thinker.n_ctx:
        raise ContextFull(f"the prompt has {len(prompt)} tokens, expected fewer than {thinker.n_ctx}")
    n_kept = min(held[lane].common(prompt), len(prompt) - 1)  # the last one gives the scores
    thinker.rewind(lane, n_kept)
    held[lane] = held[lane].cut(n_kept)
    logits, thoughts = np.zeros(0, np.float32), [held[lane].thought] if len(held[lane].thought) else []
    for begin in range(n_kept, len(prompt), PREFILL_ROWS):
        if request.unwanted:
            return None
        end = min(begin + PREFILL_ROWS, len(prompt))
        at, media = prompt.media_rows(begin, end)
        ids = np.where(at, 0, prompt.ids[begin:end])  # a placeholder's own row is not used
        rows = thinker.embed(TOKENS, ids)
        if len(media):
            rows[at] = media
        positions = prompt.positions[begin:end]
        plain = bool((positions == np.arange(begin, end)[:, None]).all())
        step = thinker.decode(
            rows[None],
            lanes=[lane],
            positions=None if plain else positions[None],
            deepstack=prompt.deepstack(begin, end, thinker.info.n_deepstack, rows.shape[1]),
            accepted=bool(thinker.info.accept_layer) and bool(at.any()),
        )
        logits = step.logits[0]
        if step.accepted is not None:
            thoughts.append(step.accepted[0][at])
        # so that a caller who stops here loses nothing
        part = Held(prompt.ids[:end].tolist(), prompt.positions[:end], prompt.marks[:end])
        part.next_position = prompt.next_position if end == len(prompt) else float(part.positions.max()) + 1
        part.thought = np.concatenate(thoughts) if thoughts else part.thought
        held[lane] = part
    clock.prefill_s += perf_counter() - start
    clock.n_prefill += len(prompt) - n_kept
    clock.n_reused += n_kept
    seen = np.zeros(len(rules.silent), np.bool_)
    seen[prompt.ids] = True
    return _Writing(
        index,
        request,
        n_kept,
        logits.copy(),
        seen,
        np.zeros(len(rules.silent), np.bool_),
        Uniforms(request.options.seed, TEXT_STREAM),
    )
