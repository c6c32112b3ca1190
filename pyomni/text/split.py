"""Long text to pieces that are spoken one by one: at sentence ends, and below those only where it must be.

A split that is missed costs nothing but a longer piece; one in the wrong place is heard as a pause. So where
a full stop may or may not end a sentence, it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pyomni.errors import ArgumentError
from pyomni.text.abbreviations import BEFORE_MORE, MAYBE_LAST, NUMBERED, STARTERS
from pyomni.text.incremental import starts_anew

__all__ = ["ENDED", "ENDS", "Piece", "sentences", "split"]

#: What a piece may end with, the strongest first: of these only the first two ask for a pause.
ENDS = ("paragraph", "sentence", "clause", "word")

CLOSERS = r"""["'”’»›)\]}」』】〕〉》）］｝｣]"""
OPENERS = r"""["'“‘«‹(\[{「『【〔〈《（［｛｢¿¡]"""
#: Marks that end a sentence wherever they stand, and those that need white space after them.
FULL = "。！？｡．؟۔।॥።։။។"
STOPS = ".!?…"

_BREAK = r"(?:\r\n|\r(?!\n)|\n)"
PARAGRAPH = re.compile(rf"\s*(?:{_BREAK}[ \t\f\v]*{_BREAK}|\u2029|\f)\s*")
END = re.compile(rf"[{FULL}{STOPS}]+{CLOSERS}*")
#: What ends a sentence whatever follows.
ENDED = re.compile(rf"[{FULL}]{CLOSERS}*$")
CLAUSE = re.compile(rf"[,;:—–]+{CLOSERS}*(?=\s)|\s[-—–](?=\s)|[、，；：]+{CLOSERS}*")
SPACE = re.compile(r"\s+")
LAST_WORD = re.compile(r"[^\s\"'“”‘’«»()\[\]{}—–/]*$")
NEXT_WORD = re.compile(rf"\s*{OPENERS}*(\w*)")
#: Letters with a stop after each, the last one's left out: U.S, e.g, J
LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]", re.UNICODE)
#: Start, stop, end: see `Piece`.
Span = tuple[int, int, str]
OPENING, CLOSING = "([{（［｛【〔", ")]}）］｝】〕"


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Attributes
    ----------
    text : str
        As it stands there, without white space around it.
    end : {"paragraph", "sentence", "clause", "word"}
        What it ends. The last piece of a text ends a paragraph.
    """

    text: str
    end: str


def sentences(text: str) -> list[Piece]:
    """Cut a text into sentences; pieces end sentences or paragraphs.

    Paragraphs are set apart by an empty line; a single line break is a space, as in text wrapped by hand.
    Abbreviations, initials, numbers, dotted letters and what stands in brackets do not end a sentence, nor
    does a mark that is followed by a lower-case letter.
    """
    pieces: list[Piece] = []
    for paragraph in PARAGRAPH.split(text):
        found = [Piece(s, "sentence") for s in _cut(paragraph, _sentence_ends(paragraph))]
        if found:
            pieces += [*found[:-1], replace(found[-1], end="paragraph")]
    return pieces


def split(text: str, count: Callable[[str], int], bound: int, *, pack: bool = True) -> list[Piece]:
    """Cut a text into pieces of at most `bound` tokens, at sentence ends where that is enough.

    A sentence that is too long is cut at clause marks, then between words, then between characters. Nothing
    is lost: the pieces are the text but for white space around them.

    Parameters
    ----------
    text : str
        May be empty, or white space: no pieces.
    count : callable (str) -> int
        Tokens of a text.
    bound : int
        Tokens of a piece, at most; a single character that takes more stands alone.
    pack : bool
        Join sentences of a paragraph as far as the bound allows; otherwise each is a piece.

    Raises
    ------
    ArgumentError
        A bound below 1.
    """
    if bound < 1:
        raise ArgumentError(f"bound is {bound}, expected 1 or more")
    whole: list[Piece] = []
    for paragraph in PARAGRAPH.split(text):
        spans: list[Span] = []
        for start, stop in _spans(paragraph, _sentence_ends(paragraph)):
            spans += _shorten(paragraph, start, stop, count, bound)
        spans = (_gather if pack else _mend)(paragraph, spans, count, bound)
        found = [Piece(paragraph[start:stop], end) for start, stop, end in spans]
        if found:
            whole += [*found[:-1], replace(found[-1], end="paragraph")]
    return whole


def _gather(text: str, spans: Sequence[Span], count: Callable[[str], int], bound: int) -> list[Span]:
    """Join neighbours as far as the bound allows."""
    out: list[Span] = []
    at = 0
    while at < len(spans):
        start = spans[at][0]

        def fits(last: int, start: int = start) -> bool:
            return count(text[start : spans[last][1]]) <= bound

        good, step = at, 1  # widen by doubling, then halve: few counts, each of little more than a piece
        while good + step < len(spans) and fits(good + step):
            good, step = good + step, step * 2
        while step:
            if good + step < len(spans) and fits(good + step):
                good += step
            step //= 2
        out.append((start, *spans[good][1:]))
        at = good + 1
    return out


def _mend(text: str, spans: Sequence[Span], count: Callable[[str], int], bound: int) -> list[Span]:
    """Join parts without anything to say, such as a line of stars, to the one before, or to the one after."""
    out: list[Span] = []
    for start, stop, end in spans:
        if out:
            before = text[out[-1][0] : out[-1][1]]
            if not (_says(text[start:stop]) and _says(before)) and count(text[out[-1][0] : stop]) <= bound:
                out[-1] = (out[-1][0], stop, end)
                continue
        out.append((start, stop, end))
    return out


def _says(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _shorten(
    text: str, start: int, stop: int, count: Callable[[str], int], bound: int, level: int = 0
) -> list[Span]:
    """Cut text[start:stop], a sentence, until every part is within the bound, by ever weaker marks."""
    if level == len(LEVELS) or count(text[start:stop]) <= bound:
        return [(start, stop, "sentence")]
    part = text[start:stop]
    cut_at, end = LEVELS[level]
    parts: list[Span] = []
    for a, b in _spans(part, cut_at(part)):
        parts += _shorten(text, start + a, start + b, count, bound, level + 1)
        parts[-1] = (*parts[-1][:2], end)
    joined = _gather(text, parts, count, bound)
    return [*joined[:-1], (*joined[-1][:2], "sentence")]


def _sentence_ends(text: str, brackets: bool = True) -> Iterator[int]:
    """Yield the places where sentences end, within one paragraph."""
    depth = at = begin = 0
    for match in END.finditer(text):
        if brackets:
            for c in text[at : match.end()]:
                depth += (c in OPENING) - (c in CLOSING and depth > 0)
            at = match.end()
        if depth == 0 and _ends_sentence(text, begin, match):
            begin = match.end()
            yield match.end()


def _ends_sentence(text: str, begin: int, match: re.Match[str]) -> bool:
    """Return whether a sentence that begins at `begin` ends with the marks of `match`."""
    marks, after = match.group(), text[match.end() : match.end() + 64]
    if not after.strip() or any(c in FULL for c in marks):
        return True
    if not after[0].isspace():  # no spaces between sentences: ASCII marks in Chinese or Japanese
        return min(after[0], text[max(match.start() - 1, 0)]) >= "\u2e80"
    following = NEXT_WORD.match(after)
    word = following.group(1) if following else ""
    if word[:1].islower():
        return False
    if marks[0] != "." or marks.startswith(".."):
        return True
    return _stop_ends(text, begin, match.start(), word)


def _stop_ends(text: str, begin: int, at: int, following: str) -> bool:
    """Return whether the full stop at `at` ends the sentence from `begin`, where `following` comes next."""
    found = LAST_WORD.search(text, max(begin, at - 40), at)
    last = (found.group() if found else "").lstrip("¿¡,;:").lower()
    if last in BEFORE_MORE or (last in NUMBERED and following[:1].isdigit()):
        return False
    if last.isdigit() and at - begin < 16 and not text[begin : at - len(last)].strip():
        return False  # the number of a list's item
    if last in MAYBE_LAST or LETTERS.fullmatch(last):
        return following.lower() in STARTERS and (len(last) > 1 or last == "i")
    return True


def _bare_sentence_ends(text: str) -> Iterator[int]:
    return _sentence_ends(text, brackets=False)


def _clause_ends(text: str) -> Iterator[int]:
    return (match.end() for match in CLAUSE.finditer(text))


def _word_ends(text: str) -> Iterator[int]:
    return (match.start() for match in SPACE.finditer(text))


def _character_ends(text: str) -> Iterator[int]:
    """Yield the places where no character joins the one before it."""
    return (i for i in range(1, len(text)) if starts_anew(text[i]) and "\u200d" not in text[i - 1 : i + 1])


#: How a sentence that is too long is cut, one after the other, and what the parts then end with.
LEVELS: tuple[tuple[Callable[[str], Iterator[int]], str], ...] = (
    (_bare_sentence_ends, "sentence"),
    (_clause_ends, "clause"),
    (_word_ends, "word"),
    (_character_ends, "word"),
)


def _spans(text: str, ends: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield the parts between ends, without white space around them; none is empty."""
    start = 0
    for end in [*ends, len(text)]:
        part = text[start:end]
        lead = len(part) - len(part.lstrip())
        if lead < len(part):
            yield start + lead, start + len(part.rstrip())
        start = max(start, end)


def _cut(text: str, ends: Iterator[int]) -> list[str]:
    return [text[a:b] for a, b in _spans(text, ends)]
