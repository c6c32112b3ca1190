"""Stand-ins for a model's header, tokenizer and networks, small enough to reason about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

N_VOCAB, N_GROUPS, WIDTH, HOP = 40, 4, 6, 5
END = 31


@dataclass
class FakeMetadata:
    """What prompts and loops read of a `SpeechMetadata`, with the ids of a real file."""

    im_start_id: int = 151644
    im_end_id: int = 151645
    assistant_id: int = 77091
    text_pad_id: int = 151671
    text_bos_id: int = 151672
    text_eos_id: int = 151673
    codec_pad_id: int = 2148
    codec_bos_id: int = 2149
    codec_eos_id: int = 2150
    codec_think_id: int = 2154
    codec_nothink_id: int = 2155
    codec_think_bos_id: int = 2156
    codec_think_eos_id: int = 2157
    suppress: tuple[int, int] = (2048, 3072)
    languages: dict[str, int] = field(
        default_factory=lambda: {
            "english": 2050,
            "chinese": 2055,
            "sichuan_dialect": 2062,
            "beijing_dialect": 2074,
        }
    )
    speakers: dict[str, int] = field(default_factory=lambda: {"ryan": 3061, "eric": 2875})
    dialects: dict[str, str] = field(default_factory=lambda: {"eric": "sichuan_dialect"})
    n_groups: int = 16
    n_ctx_max: int = 4096
    n_embd: int = 6
    n_codes: int = 40
    sample_rate: int = 24000
    hop: int = 1920
    model_type: str = "custom_voice"
    model_size: str = "1b7"
    instruct: bool = True
    components: tuple[str, ...] = ("talker", "code_predictor", "codec_decoder")


def small_metadata(**changes: Any) -> FakeMetadata:
    """Return a header for the fake networks below."""
    return FakeMetadata(**{"codec_eos_id": END, "suppress": (30, N_VOCAB), "n_groups": N_GROUPS, **changes})


class FakeTokenizer:
    """One id per character, except the pieces a prompt is built from."""

    def encode(self, text: str) -> list[int]:
        known = {"\n": [198], "user\n": [872, 198]}
        return known.get(text) or [ord(c) for c in text]


class Step(NamedTuple):
    logits: np.ndarray
    hidden: np.ndarray


class FakeTalker:
    """A talker whose scores depend on everything its lane has seen, so that a mixed-up lane shows.

    `end_after` maps the first value of a prompt's first row to the number of frames after which the end id
    leads.
    """

    joins = False

    def __init__(self, n_lanes: int = 1, n_ctx: int = 512, end_after: dict[int, int] | None = None) -> None:
        self.n_lanes, self.n_ctx = n_lanes, n_ctx
        self.end_after = end_after or {}
        self.seen: list[list[np.ndarray]] = [[] for _ in range(n_lanes)]
        self.calls: list[tuple[tuple[int, ...], int]] = []  # (lanes, rows each)
        self.closed = False
        self.table = np.random.default_rng(5).standard_normal((N_VOCAB + 1, WIDTH)).astype(np.float32)

    def embed(self, table: int, ids: Any) -> np.ndarray:
        return self.table[np.asarray(ids, int) % N_VOCAB] + np.float32(table)

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        self.seen[lane] = self.seen[lane][:n_past]

    def n_past(self, lane: int = 0) -> int:
        return len(self.seen[lane])

    def decode(self, rows: np.ndarray, *, lanes: Any = None, head: int = 0) -> Step:
        lanes = list(range(len(rows))) if lanes is None else list(lanes)
        assert lanes == sorted(lanes)
        assert rows.ndim == 3
        assert rows.dtype == np.float32
        self.calls.append((tuple(lanes), rows.shape[1]))
        out = []
        for lane, new in zip(lanes, rows, strict=True):
            self.seen[lane] += list(new)
            assert len(self.seen[lane]) <= self.n_ctx, "the session is too small"
            total = np.sum(self.seen[lane], axis=0, dtype=np.float64)
            rng = np.random.default_rng(np.abs(total * 1e3).astype(np.int64))
            logits = rng.standard_normal(N_VOCAB).astype(np.float32)
            key = round(float(self.seen[lane][0][0]))
            n_frames = len(self.seen[lane]) - PROMPT
            logits[END] = 50.0 if n_frames >= self.end_after.get(key, 10**6) else -50.0
            out.append((logits, total.astype(np.float32)))
        return Step(np.stack([a for a, _ in out]), np.stack([b for _, b in out]))

    def close(self) -> None:
        self.closed = True


#: Rows of every prompt made by `prompt_rows`.
PROMPT = 3


def prompt_rows(key: int) -> np.ndarray:
    """Return a prompt, float32 [PROMPT, WIDTH], that `FakeTalker.end_after` knows by `key`."""
    rows = np.random.default_rng(key).standard_normal((PROMPT, WIDTH)).astype(np.float32)
    rows[0, 0] = key
    return rows


class FakePredictor:
    """A code predictor with one-step scores; `groups` draws from them as the graph would."""

    def __init__(self, n_lanes: int = 1) -> None:
        self.n_lanes, self.closed = n_lanes, False
        self.rows: list[np.ndarray] = []
        self.batches: list[int] = []
        self.tables = (
            np.random.default_rng(6).standard_normal((N_GROUPS - 1, N_VOCAB, WIDTH)).astype(np.float32)
        )
        self.talker = FakeTalker()

    def rewind(self, lane: int = 0, n_past: int = 0) -> None:
        self.rows = self.rows[:n_past]

    def embed(self, table: int, ids: Any) -> np.ndarray:
        return self.tables[table][np.asarray(ids, int)]

    def decode(self, rows: np.ndarray, *, lanes: Any = None, head: int = 0) -> Step:
        self.rows += list(rows)
        total = np.sum(self.rows, axis=0, dtype=np.float64)
        return Step(self._scores(total, head)[None], total[None].astype(np.float32))

    def each(self, rows: np.ndarray, *, lane: int = 0, head: int = 0, n_heads: int = 1) -> np.ndarray:
        out = []
        for row in rows:
            self.rows.append(row)
            total = np.sum(self.rows, axis=0, dtype=np.float64)
            out.append([self._scores(total, h) for h in range(head, head + n_heads)])
        return np.array(out)

    def _scores(self, total: np.ndarray, head: int) -> np.ndarray:
        rng = np.random.default_rng([head, *np.abs(total * 1e3).astype(np.int64)])
        return rng.standard_normal(N_VOCAB).astype(np.float32)

    def groups(
        self, hidden: Any, code0: Any, *, temperature: float, top_k: int, top_p: float, uniforms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        from pyomni.options import Draw
        from pyomni.pipelines.speech import predict_groups

        assert uniforms.shape == (len(code0), N_GROUPS - 1)
        assert uniforms.dtype == np.float64
        self.batches.append(len(code0))
        draw = Draw(temperature, top_k, top_p)
        codes = np.stack(
            [
                predict_groups(self.talker, self, h, int(c), draw=draw, uniforms=u)
                for h, c, u in zip(hidden, code0, uniforms, strict=False)
            ]
        )
        rows = self.talker.embed(1, codes[:, 0])
        for g in range(1, N_GROUPS):
            rows = rows + self.tables[g - 1][codes[:, g]]
        return codes, rows

    def close(self) -> None:
        self.closed = True


class FakeCodec:
    """Samples that depend on every frame since the last rewind; records the widths it was asked for."""

    hop, sample_rate, n_groups = HOP, 24000, N_GROUPS

    def __init__(self) -> None:
        self.state, self.widths, self.closed = 0, [], False

    def rewind(self, lane: int = 0) -> None:
        self.state = 0

    def decode(self, codes: np.ndarray, lane: int = 0) -> np.ndarray:
        assert codes.dtype == np.int32
        assert codes.ndim == 2
        self.widths.append(len(codes))
        out = []
        for frame in codes:
            self.state = (self.state * 31 + int(frame.sum())) % 1009
            out.append(np.full(self.hop, self.state / 1009, np.float32))
        return np.concatenate(out)

    def close(self) -> None:
        self.closed = True
