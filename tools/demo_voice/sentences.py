"""Write the training text: sentences from frames and word lists of our own, scored for natural order.

    python sentences.py WORK [--count 56000] [--seed 5] [--set train | --set common... | --set frequent]

Words are those of Debian's `wamerican` that pocketsphinx's dictionary pronounces, ranked by its language
model, whose word pairs also guess each word's part of speech. The set `common` is, mostly, of everyday words
with their parts of speech (common_words.txt) in frames of their own, and so is any set whose name begins with
it. The set `frequent` is made around those of the most frequent words that the other texts in WORK have too
seldom. No sentence of held_out.txt or development.txt is ever written.
"""

import argparse
import itertools
import random
import re
from pathlib import Path

from word_lists import HERE, Words, common_words, lacking, lines

# Slots of a frame: N noun, M plural, V verb, P past verb, A adjective, D adverb, G -ing form, F first name,
# # a number, ## two digits. A frame is spoken as it stands: its case and punctuation are what people type.
FRAMES, EVERYDAY, NUMBERS = lines("frames.txt"), lines("everyday.txt"), lines("numbers.txt")
FUNCTION = " ".join(lines("function_words.txt")).split()


class Writer:
    """Draws sentences."""

    def __init__(self, words: Words, seed: int, everyday: dict[str, list[str]] | None = None) -> None:
        self.words, self.random = words, random.Random(seed)
        self.parts = everyday or words.by_part
        self.frames = lines("common_frames.txt") if everyday else FRAMES
        # A list by rank falls off slowly; one of our own is drawn from evenly.
        fall = 0.0 if everyday else -0.4
        self.weights = {
            part: list(itertools.accumulate((i + 60) ** fall for i in range(len(entries))))
            for part, entries in self.parts.items()
        }
        self.all_weights = list(itertools.accumulate((i + 200) ** -0.5 for i in range(len(words.words))))
        self.kinds = (0.78, 0.78, 0.86, 0.94) if everyday else (0.50, 0.72, 0.86, 0.94)
        self.bag = [word for entries in everyday.values() for word in entries] if everyday else words.words
        self.unused: list[str] = []

    def _number(self) -> str:
        return str(
            self.random.choice(
                (self.random.randint(0, 12), self.random.randint(0, 100), self.random.randint(0, 999))
            )
        )

    def fill(self, frame: str) -> str:
        """One frame with its slots filled at random."""

        def slot(match: re.Match[str]) -> str:
            part = match.group(0)
            if part in self.weights:
                return self.random.choices(self.parts[part], cum_weights=self.weights[part])[0]
            if part == "##":
                return f"{self.random.randint(10, 59)}"
            return self._number()

        return re.sub(r"\b[NMVPADGF]\b(?!')|##|#", slot, frame)

    def natural(self, sentence: str) -> float:
        """Mean pair score of a sentence's words."""
        plain = re.findall(r"[a-z']+", sentence.lower())
        return sum(self.words.pair(a, b) for a, b in itertools.pairwise(plain)) / max(1, len(plain) - 1)

    def framed(self, frames: list[str], tries: int) -> str:
        """A frame, filled several times; the most natural filling."""
        frame = self.random.choice(frames)
        return max((self.fill(frame) for _ in range(tries)), key=self.natural)

    def walk(self) -> str:
        """A walk along likely word pairs.

        function words and a few random others to choose from at each step.
        """
        sentence, length = [self.random.choice(FUNCTION)], self.random.randint(4, 13)
        while len(sentence) < length:
            choices = self.random.sample(FUNCTION, 25) + self.random.choices(
                self.words.words, cum_weights=self.all_weights, k=25
            )
            choices = [word for word in choices if word != sentence[-1]]
            scores = [self.words.score(*sentence[-2:], word) for word in choices]
            best = sorted(range(len(choices)), key=lambda i: -scores[i])[:4]
            sentence.append(choices[self.random.choice(best)])
        return self.finish(sentence)

    def around(self, word: str, lacking: list[str]) -> str:
        """A sentence that grows to both sides of a word, of other words that lack and function words."""
        sentence, length = [word], self.random.randint(3, 8)
        while len(sentence) < length:
            left = self.random.random() < 0.5
            choices = self.random.sample(FUNCTION, 8) + self.random.choices(lacking, k=60)
            choices = [other for other in choices if other not in sentence]
            if left:
                scores = [self.words.score(o) + self.words.pair(o, sentence[0]) for o in choices]
            else:
                scores = [self.words.score(*sentence[-2:], o) for o in choices]
            best = sorted(range(len(choices)), key=lambda i: -scores[i])[:4]
            found = choices[self.random.choice(best)]
            sentence = [found, *sentence] if left else [*sentence, found]
        return self.finish(sentence)

    def phrase(self) -> str:
        """One to four words, every word of the list in turn."""
        count = self.random.choice((1, 2, 2, 3, 3, 4))
        while len(self.unused) < count:
            self.unused.extend(self.random.sample(self.bag, len(self.bag)))
        taken = [self.unused.pop() for _ in range(count)]
        if self.random.random() < 0.5:
            taken.insert(
                0,
                self.random.choice(("the", "a", "my", "his", "to", "of the", "in the", "and", "this", "her")),
            )
        return self.finish(taken)

    def finish(self, words: list[str]) -> str:
        """Words as a typed sentence: a capital, an end, sometimes neither, sometimes a comma inside."""
        words = ["I" if word == "i" else word for word in words]
        if len(words) > 6 and self.random.random() < 0.3:
            at = self.random.randint(2, len(words) - 3)
            words[at] += ","
        text = " ".join(words)
        if self.random.random() < 0.9:
            text = text[0].upper() + text[1:]
        return text + self.random.choices((".", "", "?", "!"), (80, 8, 7, 5))[0]

    def sentence(self) -> str:
        """One sentence of any kind."""
        kind = self.random.random()
        framed, walked, phrased, everyday = self.kinds
        if kind < framed:
            text = self.framed(self.frames, self.random.choice((1, 3, 6)))
        elif kind < walked:
            text = self.walk()
        elif kind < phrased:
            text = self.phrase()
        elif kind < everyday:
            text = self.framed(EVERYDAY, 2)
        else:
            text = self.framed(NUMBERS, 2)
        if kind < framed and self.random.random() < 0.12:
            joined = self.random.choice((", and ", ", but ", " because ", " while ", ", so "))
            rest = self.framed(
                [frame for frame in self.frames if len(frame.split()) < 8 and frame[-1] == "."], 3
            )
            rest = rest if rest.startswith(("I ", *self.words.names[:50])) else rest[0].lower() + rest[1:]
            text = text.rstrip(".?!") + joined + rest
        if self.random.random() < 0.06:
            text = text.rstrip(".")
        if self.random.random() < 0.04:
            text = text.lower()
        return text


def plain(text: str) -> str:
    """A sentence without case and punctuation, to compare by."""
    return re.sub(r"[^a-z0-9' ]", "", text.lower()).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=56000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--set", default="train")
    arguments = parser.parse_args()
    writer = Writer(Words(), arguments.seed, common_words() if arguments.set.startswith("common") else None)
    barred = {
        plain(line)
        for name in ("held_out.txt", "development.txt")
        for line in (HERE / name).read_text().splitlines()
    }
    lack: dict[str, int] = {}
    if arguments.set == "frequent":
        others = [path for path in sorted(arguments.work.glob("*.txt")) if path.stem != "frequent"]
        lack = lacking(writer.words, [line for path in others for line in path.read_text().splitlines()])
    repeats: dict[str, int] = {}
    written: list[str] = []
    while len(written) < arguments.count:
        if arguments.set == "frequent":
            word = writer.random.choices(list(lack), list(lack.values()))[0]
            text = writer.around(word, list(lack))
            for said in re.findall(r"[a-z']+", text.lower()):
                if said in lack and len(lack) > 100:
                    lack[said] -= 1
                    lack = {w: n for w, n in lack.items() if n} if not lack[said] else lack
        else:
            text = writer.sentence()
        if len(text.split()) > 15 or plain(text) in barred or repeats.get(text, 0) >= 3:
            continue
        repeats[text] = repeats.get(text, 0) + 1
        written.append(text)
    arguments.work.mkdir(parents=True, exist_ok=True)
    (arguments.work / f"{arguments.set}.txt").write_text("\n".join(written) + "\n")
    distinct = {word for text in written for word in re.findall(r"[a-z']+", text.lower())}
    lengths = [len(text.split()) for text in written]
    print(
        f"{len(written)} sentences, {sum(lengths) / len(lengths):.1f} words each, "
        f"{len(distinct)} distinct words"
    )


if __name__ == "__main__":
    main()
