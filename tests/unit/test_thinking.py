"""The text loop on a stand-in: ends, masks, penalties, lanes, and what lanes hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from pyomni.chat_options import ChatOptions, TextGeneration
from pyomni.errors import ContextFull
from pyomni.options import Draw
from pyomni.pipelines.bridge import Writer, lay_out
from pyomni.pipelines.held import Held, Perceived, Prompt
from pyomni.pipelines.thinking import TextRequest, TextRules, ThinkTimings, write

N_VOCAB, WIDTH = 30, 4
ENDS = (7, 11)


class Step(NamedTuple):
    logits: np.ndarray
    accepted: np.ndarray | None


class FakeThinker:
    """Scores depend on every row and place its lane has seen, so that a wrong one shows."""

    def __init__(self, n_lanes: int = 1, n_ctx: int = 64, script: dict[int, int] | None = None) -> None:
        self.n_lanes, self.n_ctx, self.script = n_lanes, n_ctx, script or {}
        self.info = SimpleNamespace(n_deepstack=2, accept_layer=1, n_embd=WIDTH)
        self.seen: list[list[np.ndarray]] = [[] for _ in range(n_lanes)]
        self.n_rows: list[int] = []
        self.fail_at = -1

    def embed(self, table: int, ids: Any) -> np.ndarray:
        return np.stack([np.full(WIDTH, i + 1.0, np.float32) for i in np.asarray(ids)])

    def decode(
        self, rows: Any, *, lanes: Any, positions: Any = None, deepstack: Any = None, accepted: bool = False
    ) -> Step:
        rows = np.asarray(rows)
        self.n_rows.append(rows.shape[1])
        if len(self.n_rows) == self.fail_at:
            raise RuntimeError("the device is gone")
        out = []
        for i, lane in enumerate(lanes):
            n = len(self.seen[lane])
            at = np.arange(n, n + rows.shape[1])[:, None].repeat(3, 1) if positions is None else positions[i]
            more = np.zeros((2, rows.shape[1], WIDTH)) if deepstack is None else deepstack[i]
            self.seen[lane] += [np.r_[r, p, d] for r, p, d in zip(rows[i], at, more.sum((0, 2)), strict=True)]
            total = (np.stack(self.seen[lane]) * np.arange(1, len(self.seen[lane]) + 1)[:, None]).sum()
            logits = np.random.default_rng(int(total * 8)).standard_normal(N_VOCAB).astype(np.float32)
            logits[list(ENDS)] = -9
            if len(self.seen[lane]) in self.script:
                logits[self.script[len(self.seen[lane])]] = 50
            out.append(logits)
        return Step(np.stack(out), rows * 2 if accepted else None)

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        self.seen[lane] = self.seen[lane][:n_past]


def prompt(*ids: int, media: tuple[Perceived, ...] = ()) -> Prompt:
    """Return a prompt in which -1, -2, ... are rows of media 0, 1, ..., at a place of their own."""
    given = np.array(ids, np.int32)
    medium = np.where(given < 0, -1 - given, -1).astype(np.int32)
    row = np.zeros(len(ids), np.int32)
    for m in range(len(media)):
        row[medium == m] = np.arange((medium == m).sum())
    positions = np.arange(len(ids), dtype=np.float64)[:, None].repeat(3, 1)
    if media:
        positions[:, 1] = np.where(medium >= 0, 2.5, positions[:, 1])
        positions[np.flatnonzero(medium >= 0).max() + 1 :] += 4
    return Prompt(np.where(given < 0, 29, given).astype(np.int32), positions, media, medium, row)


def seen(key: str, n: int = 2) -> Perceived:
    value = float(int(key, 16) % 97)
    return Perceived("image", np.full((n, WIDTH), value, np.float32), np.ones((2, n, WIDTH), np.float32), key)


def request(prompt: Prompt, n: int = 6, **changes: Any) -> TextRequest:
    options = {"seed": 3, "draw": Draw(0.8), "repetition_penalty": 1.0, "presence_penalty": 0.0, **changes}
    return TextRequest(prompt, TextGeneration(max_tokens=n, **options))


RULES = TextRules(frozenset(ENDS), np.arange(N_VOCAB) >= 28)


def run(thinker: FakeThinker, requests: list[TextRequest], held: list[Held] | None = None) -> Any:
    """Return tokens and reasons by request, and the timings."""
    held = [Held() for _ in range(thinker.n_lanes)] if held is None else held
    clock, tokens, reasons = ThinkTimings(), [[] for _ in requests], [""] * len(requests)
    for event in write(thinker, held, requests, RULES, clock):
        if event.token is None:
            reasons[event.request] = event.finish_reason
        else:
            tokens[event.request].append(event.token)
    return tokens, reasons, clock


@pytest.mark.parametrize("end", ENDS)
def test_every_end_token_ends(end: int) -> None:
    tokens, reasons, _ = run(FakeThinker(script={5: end}), [request(prompt(1, 2, 3))])
    assert (len(tokens[0]), reasons) == (2, ["stop"])
    # as many as allowed, and the end right after: it did stop
    tokens, reasons, _ = run(FakeThinker(script={5: end}), [request(prompt(1, 2, 3), n=2)])
    assert (len(tokens[0]), reasons) == (2, ["stop"])
    tokens, reasons, _ = run(FakeThinker(script={6: end}), [request(prompt(1, 2, 3), n=2)])
    assert (len(tokens[0]), reasons) == (2, ["length"])
    tokens, reasons, _ = run(FakeThinker(script={3: end}), [request(prompt(1, 2, 3))])
    assert (tokens, reasons) == ([[]], ["stop"])


def test_silent_tokens_are_never_written() -> None:
    thinker = FakeThinker(script=dict.fromkeys(range(3, 20), 28))
    for draw in (Draw(0.0), Draw(2.0)):
        tokens, _, _ = run(thinker, [request(prompt(1, 2, 3), n=12, draw=draw)])
        assert max(tokens[0]) < 28


def test_penalties() -> None:
    script = dict.fromkeys(range(3, 20), 5)  # token 5 leads by 50
    again, _, _ = run(FakeThinker(script=script), [request(prompt(1, 2, 3), n=4, draw=Draw(0.0))])
    assert again == [[5, 5, 5, 5]]
    once, _, _ = run(
        FakeThinker(script=script), [request(prompt(1, 2, 3), n=4, draw=Draw(0.0), presence_penalty=60.0)]
    )
    assert once[0][0] == 5
    assert 5 not in once[0][1:]
    # a token of the prompt counts for the one, not for the other
    never, _, _ = run(
        FakeThinker(script=script), [request(prompt(1, 5, 3), n=4, draw=Draw(0.0), repetition_penalty=1e3)]
    )
    assert 5 not in never[0]
    first, _, _ = run(
        FakeThinker(script=script), [request(prompt(1, 5, 3), n=4, draw=Draw(0.0), presence_penalty=60.0)]
    )
    assert first[0][0] == 5


def test_lanes_write_what_each_writes_alone() -> None:
    prompts = [prompt(1, 2, 3), prompt(4, 5), prompt(1, 2, 3, 4, 5, 6, 8), prompt(9, 9), prompt(1, 2)]
    alone = [run(FakeThinker(), [request(p, n=3 + i)])[0][0] for i, p in enumerate(prompts)]
    for n_lanes in (1, 2, 3, 5):
        tokens, _, _ = run(FakeThinker(n_lanes), [request(p, n=3 + i) for i, p in enumerate(prompts)])
        assert tokens == alone


def test_only_what_is_new_is_read() -> None:
    thinker, held = FakeThinker(2), [Held(), Held()]
    first = prompt(1, 2, 3, 4, 5)
    [answer], _, clock = run(thinker, [request(first)], held)
    assert (clock.n_prefill, clock.n_reused) == (5, 0)
    longer = prompt(1, 2, 3, 4, 5, *answer, 9, 10)
    [more], _, clock = run(thinker, [request(longer)], held)
    assert (clock.n_prefill, clock.n_reused) == (2, 11)
    assert more == run(FakeThinker(), [request(longer)])[0][0]
    # another conversation takes the other lane, and this one is still there
    run(thinker, [request(prompt(20, 21))], held)
    _, _, clock = run(thinker, [request(longer)], held)
    assert (clock.n_prefill, clock.n_reused) == (1, 12)  # the last one gives the scores
    # half of it is the same
    other = prompt(1, 2, 3, 9, 9)
    [branch], _, clock = run(thinker, [request(other)], held)
    assert clock.n_reused == 3
    assert branch == run(FakeThinker(), [request(other)])[0][0]


def test_media_are_told_apart_by_what_they_are() -> None:
    thinker, held = FakeThinker(), [Held()]
    one = prompt(1, -1, -1, 2, 3, media=(seen("a1"),))
    [answer], _, _ = run(thinker, [request(one)], held)
    assert held[0].thought.shape == (2, WIDTH)
    same = prompt(1, -1, -1, 2, 3, media=(seen("a1"),))
    again, _, clock = run(thinker, [request(same)], held)
    assert (again, clock.n_reused) == ([answer], 4)
    assert held[0].thought.shape == (2, WIDTH)
    other = prompt(1, -1, -1, 2, 3, media=(seen("b2"),))
    differs, _, clock = run(thinker, [request(other)], held)
    assert clock.n_reused == 1
    assert differs == run(FakeThinker(), [request(other)])[0]
    assert (
        held[0].place() == held[0].all_positions()[-1, 0] + 1 == 5 + 4 + 6
    )  # places after media are shifted


def test_a_failure_empties_the_lanes() -> None:
    thinker, held = FakeThinker(2), [Held(), Held()]
    run(thinker, [request(prompt(1, 2, 3))], held)
    thinker.fail_at = len(thinker.n_rows) + 3
    with pytest.raises(RuntimeError):
        run(thinker, [request(prompt(1, 2, 3, 4))], held)
    assert [len(h) for h in held] == [0, 0]
    assert thinker.seen == [[], []]


def test_a_stream_that_is_left_keeps_what_was_read() -> None:
    thinker, held = FakeThinker(), [Held()]
    events = write(thinker, held, [request(prompt(1, 2, 3))], RULES)
    tokens = [next(events).token for _ in range(3)]
    events.close()
    assert held[0].ids == [1, 2, 3, *tokens[:2]]
    assert len(thinker.seen[0]) == 5


def test_a_prompt_that_is_too_long() -> None:
    with pytest.raises(ContextFull, match="has 64 tokens, expected fewer than 64"):
        run(FakeThinker(), [request(prompt(*[1] * 64))])


# --- options ------------------------------------------------------------------------------------------------


def test_options_and_defaults() -> None:
    defaults = {"do_sample": False, "temperature": 0.7, "top_k": 20, "top_p": 0.95, "max_new_tokens": 100}
    assert ChatOptions().resolve(defaults).draw == Draw(0.0)
    drawn = ChatOptions(temperature=0.5, min_p=0.1).resolve(defaults)
    assert drawn.draw == Draw(0.5, 20, 0.95, 0.1)
    assert (drawn.max_tokens, drawn.max_tokens_asked) == (100, False)
    sampled = ChatOptions(max_tokens=7, presence_penalty=1.5).resolve({**defaults, "do_sample": True})
    assert sampled.draw == Draw(0.7, 20, 0.95)
    assert (sampled.max_tokens, sampled.max_tokens_asked, sampled.presence_penalty) == (7, True, 1.5)
    assert ChatOptions(greedy=True, temperature=0.5).resolve(defaults).draw == Draw(0.0)
    assert ChatOptions().resolve(defaults).seed != ChatOptions().resolve(defaults).seed
    assert ChatOptions(seed=9).resolve(defaults).seed == 9


# --- what the talker reads ----------------------------------------------------------------------------------


def test_the_talker_reads_users_and_the_beginning_of_the_answer() -> None:
    ids = SimpleNamespace(im_start=1, user=2, text_pad=20)
    given = np.array([1, 3, 9, 9, 1, 2, 10, 11, 1, 4, 12, 1, 2, 13, 1, 4, 8, 14, 15], np.int32)
    found = lay_out(ids, given)  # type: ignore[arg-type]
    assert found.kept.tolist() == [4, 5, 6, 7, 11, 12, 13]
    assert found.header.tolist() == [1, 4, 8]
    assert found.begun.tolist() == [14, 15]
    assert found.ids.tolist() == [1, 2, 10, 11, 1, 2, 13, *[20] * 9]


def test_thoughts_and_calls_are_not_spoken() -> None:
    writer = Writer(iter([5, 90, 6, 7, 91, 8, 92, 9, 90, 93, 4]), [3], {90: 91, 92: 93})
    assert writer.ids == [3]
    assert writer.wait(3)
    assert writer.ids == [3, 5, 8]
    assert writer.wait(4)
    assert writer.ids == [3, 5, 8, 4]
    assert not writer.wait(5)
    assert writer.done
