"""Write the training text: sentences from frames and word lists of our own, scored for natural order.

    python sentences.py WORK [--count 56000] [--seed 5]

Words are those of Debian's `wamerican` that pocketsphinx's dictionary pronounces, ranked by its language model, whose
word pairs also guess each word's part of speech. No sentence of held_out.txt or development.txt is ever written.
"""

import argparse
import itertools
import os
import random
import re
from functools import lru_cache
from pathlib import Path

import pocketsphinx
from pocketsphinx import Config, LogMath, NGramModel

HERE = Path(__file__).parent
MODEL = Path(os.path.dirname(pocketsphinx.__file__)) / "model" / "en-us"
WORDS = Path("/usr/share/dict/words")

# N noun, M plural, V verb, P past verb, A adjective, D adverb, G -ing form, F first name. A frame is spoken as it
# stands: its case and punctuation are what people type.
FRAMES = """The A N P the N in the N.
She P a N for her N.
He P to V the M before the N.
My N and I V every N.
Please V the N and the M.
We V the A N when the N is A.
They P along the N until the N P.
The M are A, and the N is A.
There is a A N in the N.
I think the N will V the N.
Do not V the N or the M.
The N of the N was D A.
Can you V me the A N?
Her N was A, but his N was A.
A N P D over the N.
It was a A N with many M.
You should V your N after the N.
The A M P in the N all day.
Why did the N V the N?
He was P by the N of the M.
Someone P the N near the A N.
No N can V without a N.
We are G the N for the M.
The N is G D today.
Our N P D at the N.
This N has more M than that N.
When it P, the M P D.
I want to V a A N with you.
The N and the N were P by M.
After the N, she P the M.
If you V the N, I will V the N.
Most M V a N in the morning.
He D V the N.
What is the N of this A N?
Where did F put the N?
F and F went to the N.
F is G a N for the N.
I have never P such a A N.
Have you ever P a N like this?
They said that the N would be A.
How many M are there in the N?
Do you know if the N is A?
The A N is on the N.
My N has a A N and two M.
Let us V the N before we V.
It is too A to V the N.
That is the N I was G about.
In the N, we P a few M.
She was A when the N came to the N.
His N is as A as my N.
Nobody P the N, so we P.
You can V the M at the N.
Who P the A N last night?
I would like to V some M, please.
There were no M in the A N.
On Monday the N will be A again.
At night the M V near the N.
The N who P the N was my N.
We had to V because the N was A.
Your N looks very A today.
He said the N was not A enough.
It takes a long time to V a N.
Let me V you about the N.
They have been G since the N.
I am not sure about the A N.
Thank you for the N and the M.
All the M in the N are A.
She has G to do with the N.
What a A N!
Look at the A N!
Be A with the N.
Her A M made the N V.
Some M are D A.
Every N needs a A N.
The N was full of A M.
Did you V the N with your M?
Is there a N near the N?
Which N do you V?
He works as a N in a A N.
We will V to the N on Friday.
The first N was A, the second was A.
One of the M is G the N.
I saw a N and some M on the N.
It might be A to V the N now.
The N under the N belongs to F.
F told me that the N was D A.
Without M, the N cannot V.
Both M are A, but this one is A.
You have to V it D.
They are going to V the N next year.
I could V the N from the N.
Would you V the N for me?
Tell F to V the M.
F, please V the N.
That A N has P my N.
For many years the N P the M.
In spring the M are A.
Good N, F.
Yes, the N is A.
No, I do not V the N.
Well, we P it D.
Oh, what a N!
The more you V, the more M you have.
As soon as the N P, the M P.
Either the N or the N is A.
She P her N and P into the N.
He P up and P at the A N.
Put the N down and V.
The M that F P are D A.
Here is the N you P for.""".splitlines()

PLAIN = """Hello.|Hello there.|Hello, world.|Hello, F.|Hi, F.|Good morning.|Good morning, F.|Good evening.|Good night.|Goodbye.|Goodbye, F.
How are you?|How are you today?|I am fine, thank you.|Thank you.|Thank you very much.|Thanks, F.|Please.|You are welcome.|I am sorry.|Excuse me.
Yes.|No.|Maybe.|Of course.|Not at all.|My name is F.|What is your name?|Nice to meet you, F.|See you later.|See you tomorrow.|Welcome home.
Welcome back, F.|I do not know.|I don't know.|It's a A N.|That's A.|I can't V the N.|We won't V the M.|She's G.|He didn't V the N.|You're A.
They're G the N.|I'm G.|I've P the N.|We'll V the N.|Isn't it A?|Don't V the N.|What's the N?|Let's V the N.|There's a N in the N.|I'd like a N.""".replace(
    "\n", "|"
).split("|")

NUMBERS = """It is # o'clock.|The N costs # dollars.|I have # M.|There are # M in the N.|He is # years old.|Chapter #.|Page #.|Number #.|Room #.
It is # degrees.|She was born in 19##.|The year is 20##.|Turn right after # miles.|Call me at #:##.|The train leaves at #:##.|Only # M P.|About # percent of the M.
We need # M and # M.|#, #, #.|The timer is set for # minutes.|Wait # seconds.|I P # M on Monday.|Open N #.|They P # of the M.|#.""".replace(
    "\n", "|"
).split("|")

FUNCTION = """the a an of to in for on with at by from up about into over after and but or so because if when while as than that which who
i you he she it we they me him her us them my your his its our their this these those some any no every all both is are was were be been am has have had
do does did will would can could should may might must not never always often very too more most much many there here then now what where how why
one two three go come get make take see know think say tell give find want need like look use work call try ask feel leave put keep let begin
people time day way man woman child world life hand part place week year home water room mother father night""".split()


class Words:
    """The word lists, by part of speech, each most frequent first."""

    def __init__(self, size: int = 7000) -> None:
        log_math = LogMath()
        self.model = NGramModel(Config(), log_math, str(MODEL / "en-us.lm.bin"))
        with open(MODEL / "cmudict-en-us.dict", encoding="utf-8") as file:
            spoken = {line.split()[0] for line in file}
        listed = {word for word in WORDS.read_text(encoding="utf-8").split() if word.isascii() and word.isalpha()}
        lower = sorted(word for word in listed if word.islower() and word in spoken and len(word) > 2)
        self.words = sorted(lower, key=lambda word: -self.score(word))[:size]
        names = sorted(
            word
            for word in listed
            if word.istitle() and len(word) > 2 and word.lower() in spoken and word.lower() not in listed
        )
        self.names = sorted(names, key=lambda word: -self.score(word.lower()))[:700]
        self.by_part = self._parts(set(lower))

    def score(self, *words: str) -> int:
        """Log probability of the last word after the ones before it (the library takes the newest word first)."""
        return self.model.prob(list(reversed(words)))

    @lru_cache(maxsize=1 << 20)  # noqa: B019 - one object for the run
    def pair(self, before: str, word: str) -> int:
        return self.model.prob([word, before])

    def _parts(self, known: set[str]) -> dict[str, list[str]]:
        parts: dict[str, list[str]] = {"F": self.names}

        def odds(before: str, word: str) -> int:
            return self.pair(before, word) - self.score(word)

        plural = [w for w in self.words if w.endswith("s") and not w.endswith(("ss", "us", "is")) and w[:-1] in known]
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


class Writer:
    """Draws sentences."""

    def __init__(self, words: Words, seed: int) -> None:
        self.words, self.random = words, random.Random(seed)
        self.weights = {
            part: list(itertools.accumulate((i + 60) ** -0.4 for i in range(len(entries))))
            for part, entries in words.by_part.items()
        }
        self.all_weights = list(itertools.accumulate((i + 200) ** -0.5 for i in range(len(words.words))))
        self.unused: list[str] = []

    def _number(self) -> str:
        return str(self.random.choice((self.random.randint(0, 12), self.random.randint(0, 100), self.random.randint(0, 999))))

    def fill(self, frame: str) -> str:
        """One frame with its slots filled at random."""

        def slot(match: re.Match[str]) -> str:
            part = match.group(0)
            if part in self.weights:
                return self.random.choices(self.words.by_part[part], cum_weights=self.weights[part])[0]
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
        """A walk along likely word pairs: function words and a few random others to choose from at each step."""
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

    def phrase(self) -> str:
        """One to four words, every word of the list in turn."""
        count = self.random.choice((1, 2, 2, 3, 3, 4))
        while len(self.unused) < count:
            self.unused.extend(self.random.sample(self.words.words, len(self.words.words)))
        taken = [self.unused.pop() for _ in range(count)]
        if self.random.random() < 0.5:
            taken.insert(0, self.random.choice(("the", "a", "my", "his", "to", "of the", "in the", "and", "this", "her")))
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
        if kind < 0.50:
            text = self.framed(FRAMES, self.random.choice((1, 3, 6)))
        elif kind < 0.72:
            text = self.walk()
        elif kind < 0.86:
            text = self.phrase()
        elif kind < 0.94:
            text = self.framed(PLAIN, 2)
        else:
            text = self.framed(NUMBERS, 2)
        if kind < 0.50 and self.random.random() < 0.12:
            joined = self.random.choice((", and ", ", but ", " because ", " while ", ", so "))
            rest = self.framed([frame for frame in FRAMES if len(frame.split()) < 8 and frame[-1] == "."], 3)
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
    arguments = parser.parse_args()
    writer = Writer(Words(), arguments.seed)
    barred = {
        plain(line) for name in ("held_out.txt", "development.txt") for line in (HERE / name).read_text().splitlines()
    }
    repeats: dict[str, int] = {}
    written: list[str] = []
    while len(written) < arguments.count:
        text = writer.sentence()
        if len(text.split()) > 15 or plain(text) in barred or repeats.get(text, 0) >= 3:
            continue
        repeats[text] = repeats.get(text, 0) + 1
        written.append(text)
    arguments.work.mkdir(parents=True, exist_ok=True)
    (arguments.work / "train.txt").write_text("\n".join(written) + "\n")
    distinct = {word for text in written for word in re.findall(r"[a-z']+", text.lower())}
    lengths = [len(text.split()) for text in written]
    print(f"{len(written)} sentences, {sum(lengths) / len(lengths):.1f} words each, {len(distinct)} distinct words")


if __name__ == "__main__":
    main()
