"""The generation loop: prompts in, frames of codes out, on the lanes of one talker.

There is one loop. A single stream is one lane of it; several texts share its steps, so the weights are read
once for all of them, and a lane that ends takes the next waiting request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from pyomni.components.lm import CODEC
from pyomni.errors import InternalError
from pyomni.options import Draw
from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.exchange import Exchange, exchange
from pyomni.pipelines.guard import Levels
from pyomni.pipelines.lane import Event, FrameRules, Lane, Point, Request, TextLate
from pyomni.pipelines.prompt import TalkerPrompt
from pyomni.pipelines.speculation import speculated
from pyomni.sampling import pick

if TYPE_CHECKING:
    from pyomni.components.lm import DecoderLM, Step

__all__ = [
    "Event",
    "FrameRules",
    "Point",
    "Request",
    "generate",
    "predict_groups",
]

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

#: Shorter voice parts of a prompt are not worth a copy of the talker's state.
LEAST_PREFIX = 16


class Prefixes(Protocol):
    """The part of `pyomni.pipelines.priming.Prefixes` the loop needs."""

    def fill(self, talker: DecoderLM, lane: int, rows: F32) -> None: ...


def generate(
    talker: DecoderLM,
    predictor: DecoderLM,
    requests: Iterable[Request],
    meta: FrameRules,
    timings: Timings | None = None,
    prefixes: Prefixes | None = None,
    levels: Levels | None = None,
    idle: Callable[[], None] | None = None,
) -> Iterator[Event]:
    """Speak requests on the lanes of a talker and yield frames as they are made.

    Each prompt is prefilled alone in its lane; then the live lanes step together. Frame g of a request draws
    with the numbers (seed, attempt, g, group), so its codes do not depend on its lane, its neighbours or
    when it started; the attempt is 0 until the guard rolls back. After `max_frames` frames one more id is
    drawn, as the official package does, to tell "stop" from "length".

    Parameters
    ----------
    talker, predictor : DecoderLM
        With the same number of lanes; the talker's are rewound first, the predictor keeps nothing between
        frames.
    requests : iterable of Request
        Taken one by one, when a lane is free. An iterator that has none now is asked again before the next
        frame, and may have one then; the loop ends when no lane is live and none comes.
    meta : FrameRules
        End id, suppressed range, number of groups.
    timings : Timings, optional
        Added to as the loop runs.
    prefixes : Prefixes, optional
        Fills lanes with what prompts of one voice begin with.
    levels : callable (int32 [n, n_groups]) -> float32 [n], optional
        How loud frames are, in dB of full scale; the guard asks where the codes look like silence.
    idle : callable () -> None, optional
        Called when all live requests wait for text; it returns once some may have come. A request whose
        text says `TextLate` keeps its lane and misses steps, which changes none of its codes.

    Yields
    ------
    Event

    Raises
    ------
    ContextFull
        A prompt and its frames do not fit the talker's session.
    """
    clock = timings if timings is not None else Timings()
    for lane in range(talker.n_lanes):
        talker.rewind(lane)  # also mends a session that an earlier failure left half way
    rows = exchange(talker, predictor)
    waiting = enumerate(requests)
    live: dict[int, Lane] = {}
    filled: set[int] = set()  # lanes whose frame the talker reads next
    while True:
        for lane in [lane for lane in sorted(live) if live[lane].request.unwanted]:
            filled.discard(lane)
            yield Event(live.pop(lane).index, None, "cancelled")
        for lane in range(talker.n_lanes):
            if lane not in live and (item := next(waiting, None)) is not None:
                live[lane] = _start(talker, rows, lane, *item, clock, prefixes, levels)
        if not live:
            return
        lanes, code0, ended = [], [], False
        for lane in [lane for lane in sorted(live) if lane not in filled]:
            try:
                drawn = live[lane].draw(meta)
            except TextLate:
                continue
            if isinstance(drawn, list):
                del live[lane]
                ended = True
                yield from drawn
                continue
            lanes.append(lane)
            code0.append(drawn)
        if lanes:
            start = perf_counter()
            codes = _fill_groups(talker, predictor, rows, [live[lane] for lane in lanes], code0, clock)
            clock.predictor_s += perf_counter() - start
            clock.n_frames += len(lanes)
            clock.n_steps += 1
            for lane, frame in zip(lanes, codes, strict=True):
                events, goes_on = live[lane].take(frame)
                if events and events[-1].codes is None:
                    del live[lane]
                if goes_on:
                    filled.add(lane)
                yield from events
        if not _read(rows, live, filled, clock) and live and not (lanes or ended):
            if idle is None:
                raise InternalError("a text is late and nobody waits for it, expected an iterator that waits")
            idle()


def _read(rows: Exchange, live: dict[int, Lane], filled: set[int], clock: Timings) -> bool:
    """Let the talker read the frames whose text has come; return whether there were any."""
    going, text = [], []
    for lane in sorted(filled):
        state = live[lane]
        try:
            text.append(state.request.prompt.text_row(state.n_frames - 1))
        except TextLate:
            continue
        going.append(lane)
    if not going:
        return False
    states = [live[lane] for lane in going]
    start = perf_counter()
    logits = rows.read(going, np.stack(text), _places(states))
    clock.talker_s += perf_counter() - start
    for state, scores in zip(states, logits, strict=True):
        state.logits = scores.copy()
    filled.difference_update(going)
    return True


def _prefill(talker: DecoderLM, lane: int, prompt: TalkerPrompt, prefixes: Prefixes | None) -> Step:
    """Prefill a rewound lane: what belongs to the voice, which may be kept from before, then the rest.

    The two go one after the other whether or not the first is kept, so that the codes do not depend on it.
    """
    if prompt.positions is not None:
        return talker.decode(prompt.rows[None], lanes=[lane], positions=prompt.positions[None])
    n = min(prompt.n_voice, len(prompt.rows) - 1)
    if n < LEAST_PREFIX:
        return talker.decode(prompt.rows[None], lanes=[lane])
    head = prompt.rows[:n]
    if prefixes is None:
        talker.decode(head[None], lanes=[lane])
    else:
        prefixes.fill(talker, lane, head)
    return talker.decode(prompt.rows[None, n:], lanes=[lane])


def _places(states: Sequence[Lane]) -> dict[str, Any]:
    """Return where the rows of this step stand, float32 [L, 1, n_axes]: nothing where all simply count on."""
    prompts = [state.request.prompt for state in states]
    given = next((p.positions for p in prompts if p.positions is not None), None)
    if given is None:
        return {}
    at = [
        len(p.rows) + state.n_frames - 1 + p.shift for p, state in zip(prompts, states, strict=True)
    ]  # the frame was counted already
    return {
        "positions": np.broadcast_to(np.array(at, np.float32)[:, None, None], (len(at), 1, given.shape[1]))
    }


def _start(
    talker: DecoderLM,
    rows: Exchange,
    lane: int,
    index: int,
    request: Request,
    clock: Timings,
    prefixes: Prefixes | None,
    levels: Levels | None,
) -> Lane:
    """Prefill a request in a lane, or put the lane where the request goes on."""
    start = perf_counter()
    talker.rewind(lane)
    point = request.point
    if point is None:
        step = _prefill(talker, lane, request.prompt, prefixes)
    else:
        talker.load(point.talker, lane)
        row = point.row_sum + request.prompt.text_row(len(point.codes) - 1)
        step = talker.decode(row[None, None], lanes=[lane])
    clock.prefill_s += perf_counter() - start
    clock.n_prefill += len(request.prompt.rows)
    rows.put_hidden(lane, step.hidden[0])
    return Lane(index, request, talker, rows, lane, step.logits[0].copy(), levels)


def _fill_groups(
    talker: DecoderLM,
    predictor: DecoderLM,
    rows: Exchange,
    states: Sequence[Lane],
    code0: Sequence[int],
    clock: Timings,
) -> I32:
    """Fill in groups 1..n-1 of a frame for several lanes: int32 [L, n_groups]; the talker reads it next."""
    by_draw: dict[Draw, list[int]] = {}  # one call draws one way
    codes: list[I32] = [np.empty(0, np.int32)] * len(states)
    for i, state in enumerate(states):
        options = state.request.options
        if not options.speculate:
            by_draw.setdefault(options.predictor, []).append(i)
            continue
        frame = speculated(
            predictor,
            rows.hidden(state.number),
            talker.embed(CODEC, [code0[i]])[0],
            code0[i],
            draw=options.predictor,
            numbers=state.uniforms.reshape(3, -1),
            most=options.speculate,
        )
        codes[i] = frame.codes
        rows.put_sum(state.number, frame.row_sum)
        clock.n_proposed += frame.n_proposed
        clock.n_accepted += frame.n_accepted
    for draw, members in by_draw.items():
        some = rows.fill(
            [states[i].number for i in members],
            [code0[i] for i in members],
            draw,
            np.stack([states[i].uniforms[1:] for i in members]),  # [L, n_groups - 1]
        )
        for frame_codes, i in zip(some, members, strict=True):
            codes[i] = frame_codes
    return np.stack(codes)


def predict_groups(
    talker: DecoderLM,
    predictor: DecoderLM,
    hidden: F32,
    code0: int,
    *,
    draw: Draw,
    uniforms: npt.NDArray[np.float64],
) -> I32:
    """Fill in code groups 1..n-1 of one frame, one step at a time.

    This is the definition. The loop calls `DecoderLM.groups`, the same frame as one graph, and a test holds
    the two equal.

    Parameters
    ----------
    hidden : float32 [n_hidden]
        The talker's, of the position that produced `code0`.
    code0 : int
        Group 0.
    draw : Draw
        Temperature 0 is greedy.
    uniforms : float64 [n_groups - 1]
        Numbers of groups 1..n-1.

    Returns
    -------
    int32 [n_groups]
    """
    predictor.rewind()
    codes, rows = [code0], np.stack([hidden, talker.embed(CODEC, [code0])[0]])  # [2, n_embd]
    for group in range(1, len(uniforms) + 1):
        codes.append(pick(predictor.decode(rows, head=group - 1).logits[0], draw, float(uniforms[group - 1])))
        if group < len(uniforms):
            rows = predictor.embed(group - 1, codes[-1:])  # table g-1 embeds group g
    return np.array(codes, np.int32)
