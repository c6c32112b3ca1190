"""Seeded damage to files: numbers that cannot be, entries twice, bytes flipped, ends cut, JSON turned."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from fuzz.layouts import Layout, Number

__all__ = ["damaged", "damaged_json", "scribbled"]

SPECIAL = [
    *range(9), 12, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 4095, 65535, 65536, 65537, 1 << 20, 1 << 24,
    1 << 28, (1 << 28) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 40, 1 << 50,
    (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 32, (1 << 64) - 2, (1 << 64) - 1,
    0x7F800000, 0xFF800000, 0x7FC00000, 0x00000001, 0x3F800000,  # floats: infinite, nan, tiny, 1
    0x1C71C71C71C71C80, 5124095576030431008,  # rows whose size in bytes comes round to a small number
]  # fmt: skip


def damaged(data: bytes, layout: Layout, rng: random.Random) -> bytes:
    """Return the bytes of a file with one to three things wrong."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        way = rng.choices(WAYS, WEIGHTS)[0]
        way(out, layout, rng)
    return bytes(out)


def _number(out: bytearray, layout: Layout, rng: random.Random) -> None:
    number = rng.choice(layout.numbers[rng.choice(list(layout.numbers))])
    old = int.from_bytes(out[number.at : number.at + number.size], "little")
    new = rng.choice(
        (rng.choice(SPECIAL), rng.choice(SPECIAL), old + 1, old - 1, old * 2, old // 2, -old,
         len(out) - number.at, len(out), old ^ 1 << rng.randrange(8 * number.size),
         rng.getrandbits(8 * number.size))
    )  # fmt: skip
    _put(out, number, new)


def _put(out: bytearray, number: Number, value: int) -> None:
    if number.at + number.size <= len(out):
        value %= 1 << 8 * number.size
        out[number.at : number.at + number.size] = value.to_bytes(number.size, "little")


def _entry(out: bytearray, layout: Layout, rng: random.Random) -> None:
    """Let an entry be there twice, or not at all, or be overwritten by another, and mostly count it right."""
    one, other = rng.choice(layout.entries), rng.choice(layout.entries)
    change = rng.choice((1, -1, 0))
    place = slice(one.end, one.end) if change == 1 else slice(one.begin, one.end)
    out[place] = (
        b"" if change == -1 else out[(one if change else other).begin : (one if change else other).end]
    )
    if one.count and rng.random() < 0.7:
        count = one.count
        _put(out, count, int.from_bytes(out[count.at : count.at + count.size], "little") + change)


def _name(out: bytearray, layout: Layout, rng: random.Random) -> None:
    """Give one entry the first bytes of another, or a zero byte, or a control character."""
    one, other = rng.choice(layout.entries), rng.choice(layout.entries)
    n = min(one.end - one.begin, other.end - other.begin, rng.choice((8, 16, 24, 48)))
    if rng.random() < 0.5:
        out[one.begin : one.begin + n] = out[other.begin : other.begin + n]
    elif one.begin + 9 < len(out):
        at = rng.randrange(one.begin + 8, max(one.begin + 9, min(one.end, one.begin + 24)))
        out[at : at + 1] = rng.choice((b"\0", b"\n", b"\x1b", b"\xff"))


def _flip(out: bytearray, layout: Layout, rng: random.Random) -> None:
    end = min(layout.header, len(out)) if rng.random() < 0.8 else len(out)
    for _ in range(rng.choice((1, 2, 4, 16)) if end else 0):
        out[rng.randrange(end)] = rng.choice((0, 0xFF, rng.randrange(256)))


def _cut(out: bytearray, layout: Layout, rng: random.Random) -> None:
    end = min(layout.header, len(out)) if rng.random() < 0.7 else len(out)
    del out[rng.randrange(end + 1) :]


def _grow(out: bytearray, layout: Layout, rng: random.Random) -> None:
    at = rng.choice((len(out), rng.randrange(len(out) + 1)))
    out[at:at] = rng.choice((b"\0" * 32, b"\xff" * 7, rng.randbytes(rng.choice((1, 8, 64)))))


def _nothing_but_bytes(out: bytearray, layout: Layout, rng: random.Random) -> None:
    out[:] = out[:4] + rng.randbytes(rng.choice((0, 4, 20, 200)))


Way = Callable[[bytearray, Layout, random.Random], None]
WAYS: list[Way] = [_number, _entry, _name, _flip, _cut, _grow, _nothing_but_bytes]
WEIGHTS = [14, 2, 2, 4, 1, 1, 0.3]


def scribbled(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few flipped, or cut short: damage that knows nothing of a format."""
    layout = Layout(header=len(data))
    out = bytearray(data)
    rng.choice((_flip, _flip, _cut, _grow))(out, layout, rng)
    return bytes(out)


def _nested(depth: int) -> Any:
    value: Any = 0
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


def _odd(rng: random.Random) -> Any:
    # the long text is prefilled where it is a message, which takes 7 ms a character under the sanitizers
    return rng.choice(
        (None, True, 0, -1, 1, 2, 3, 1 << 31, 1 << 53, 1 << 63, (1 << 64) - 1, 1 << 64, 10**400,
         -(10**400), 0.5, 1e308, float("nan"), float("inf"), "", "0",
         "a\0b", "\ud800", "x" * 1100, [], {}, [0], [[]], [None],
         [1 << 40, 1 << 40], [-1, 2], "F32", "BF16", "I32", "../x.safetensors", _nested(60), _nested(300))
    )  # fmt: skip


def damaged_json(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one to three things wrong in a copy of it."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return _odd(rng)
        holder, key = rng.choice(places)
        way = rng.randrange(6)
        if way == 0:
            del holder[key]
        elif way == 1:
            other_holder, other = rng.choice(places)
            if other in other_holder if isinstance(other_holder, dict) else other < len(other_holder):
                holder[key] = json.loads(json.dumps(other_holder[other]))
        elif way == 2 and type(holder[key]) in (int, float):
            holder[key] = holder[key] + rng.choice((-1, 1, 4, 1 << 32, holder[key]))
        elif way == 3 and isinstance(holder, dict):
            holder[rng.choice(("", "a", "dtype", "shape", "__metadata__", key + "x"))] = holder.pop(key)
        else:
            holder[key] = _odd(rng)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < 2000:
        one = waiting.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found
