"""The words that training text is made of: Debian's list by rank and part of speech, and lists of our own."""

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pocketsphinx
from pocketsphinx import Config, LogMath, NGramModel

HERE = Path(__file__).parent
MODEL = Path(pocketsphinx.__file__).parent / "model" / "en-us"
WORDS = Path("/usr/share/dict/words")

# How often a word is wanted in all texts together, by its rank among the most frequent.
WANTED = {500: 150, 1000: 80, 3000: 40}
NOT_WORDS = {"mm", "uh", "huh", "hm", "etc", "edit", "fuck", "fucking", "shit", "bullshit", "ass"}


def lines(name: str) -> list[str]:
    """Return the lines of a list beside this file."""
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def common_words() -> dict[str, list[str]]:
    """The everyday words by part of speech, with the plurals of the nouns."""
    parts: dict[str, list[str]] = {}
    for line in lines("common_words.txt"):
        part, *entries = line.split()
        parts.setdefault(part, []).extend(entries)
    regular = [noun for noun in parts["N"] if not noun.endswith(("f", "fe", "man", "child", "foot", "tooth"))]
    parts["M"] = [plural(noun) for noun in regular if noun.islower()]
    return parts


def plural(noun: str) -> str:
    """The regular plural."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


class Words:
    """The word lists, by part of speech, each most frequent first."""

    def __init__(self, size: int = 7000) -> None:
        log_math = LogMath()
        self.model = NGramModel(Config(), log_math, str(MODEL / "en-us.lm.bin"))
        with (MODEL / "cmudict-en-us.dict").open(encoding="utf-8") as file:
            spoken = {line.split()[0] for line in file}
        listed = {
            word for word in WORDS.read_text(encoding="utf-8").split() if word.isascii() and word.isalpha()
        }
        lower = sorted(word for word in listed if word.islower() and word in spoken and len(word) > 2)
        self.words = sorted(lower, key=lambda word: -self.score(word))[:size]
        names = sorted(
            word
            for word in listed
            if word.istitle() and len(word) > 2 and word.lower() in spoken and word.lower() not in listed
        )
        self.names = sorted(names, key=lambda word: -self.score(word.lower()))[:700]
        self.by_part = self._parts(set(lower))
        apart = {"a", "i"}  # and no other letter
        every = {word for word in WORDS.read_text(encoding="utf-8").split() if word.islower()}
        self.frequent = sorted(
            (w for w in (every & spoken) - NOT_WORDS if len(w) > 1 or w in apart),
            key=lambda word: (-self.score(word), word),
        )

    def score(self, *words: str) -> int:
        """Log probability of the last word after the others (the library takes the newest first)."""
        return self.model.prob(list(reversed(words)))

    @lru_cache(maxsize=1 << 20)  # noqa: B019 - one object for the run
    def pair(self, before: str, word: str) -> int:
        return self.model.prob([word, before])

    def _parts(self, known: set[str]) -> dict[str, list[str]]:
        parts: dict[str, list[str]] = {"F": self.names}

        def odds(before: str, word: str) -> int:
            return self.pair(before, word) - self.score(word)

        plural = [
            w
            for w in self.words
            if w.endswith("s") and not w.endswith(("ss", "us", "is")) and w[:-1] in known
        ]
        past = [w for w in self.words if w.endswith("ed") and len(w) > 4]
        ing = [w for w in self.words if w.endswith("ing") and len(w) > 5]
        adverb = [w for w in self.words if w.endswith("ly") and len(w) > 4]
        taken = set(plural) | set(past) | set(ing) | set(adverb)
        free = [w for w in self.words if w not in taken]
        verb = [w for w in free if odds("to", w) > 0 and self.pair("to", w) > self.pair("the", w)]
        adjective = [w for w in free if odds("very", w) > 0]
        noun = [w for w in free if odds("the", w) > 0 and w not in set(verb) and odds("very", w) <= 3000]
        parts.update({"N": noun, "M": plural, "V": verb, "P": past, "A": adjective, "D": adverb, "G": ing})
        return parts


def lacking(words: Words, texts: list[str]) -> dict[str, int]:
    """The frequent words that these texts have too seldom, and how many times are lacking."""
    said = Counter(word for text in texts for word in re.findall(r"[a-z']+", text.lower()))
    found, begin = {}, 0
    for end, wanted in WANTED.items():
        found.update({w: wanted - said[w] for w in words.frequent[begin:end] if said[w] < wanted})
        begin = end
    return found
