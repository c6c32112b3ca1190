"""Flags of the verbs that speak: who, how drawn, in which parts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import clone_flags
from pyomni.options import SPLITS

if TYPE_CHECKING:
    from pyomni.options import SpeechOptions


def voice_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags of who speaks, and how."""
    voice = p.add_argument_group("voice")
    voice.add_argument(
        "--voice",
        metavar="NAME|FILE",
        help="a speaker of the model, a saved voice or a voice file (default: the model's first speaker; see "
        "pyomni voices)",
    )
    clone_flags(voice)
    voice.add_argument("--design", metavar="TEXT", help="describe the voice (voice design models)")
    voice.add_argument("--instruct", metavar="TEXT", help="how to say it (models trained for it)")
    voice.add_argument("--language", metavar="NAME", default="auto", help="such as english (default auto)")


def sampling_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags of how codes are drawn."""
    draw = p.add_argument_group("sampling", "What is not given takes the model's default.")
    draw.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the same seed gives the same speech (default: random, reported)",
    )
    draw.add_argument("--temperature", type=float, metavar="X", help="of code group 0; 0 is greedy")
    draw.add_argument("--top-k", type=int, metavar="N", help="draw from the N largest; 0 is all")
    draw.add_argument(
        "--top-p", type=float, metavar="X", help="draw from the likeliest that make up X; 1 is all"
    )
    draw.add_argument("--repetition-penalty", type=float, metavar="X", help="of ids already used; 1 is none")
    draw.add_argument("--predictor-temperature", type=float, metavar="X", help="of code groups 1 and up")
    draw.add_argument("--predictor-top-k", type=int, metavar="N", help="the same for groups 1 and up")
    draw.add_argument("--predictor-top-p", type=float, metavar="X", help="the same for groups 1 and up")
    draw.add_argument(
        "--greedy", action="store_true", help="always the largest score; for tests, since it drones"
    )
    draw.add_argument(
        "--speculate",
        metavar="N",
        help="code groups to propose in each pass of the code predictor: 1 to 3, or off, the default; other "
        "draws of the same distribution (docs/speculation.md)",
    )


def part_flags(length: Any) -> None:
    """Add the flags of a text's parts, and of the guard."""
    length.add_argument(
        "--split",
        choices=SPLITS,
        default="auto",
        help="speak the text in parts: auto (the default) at sentence ends and only where it is long, "
        "sentences each on its own, never",
    )
    length.add_argument(
        "--pause", type=float, metavar="S", help="seconds of silence between parts (default 0.15)"
    )
    length.add_argument(
        "--paragraph-pause", type=float, metavar="S", help="the same between paragraphs (default 0.5)"
    )
    length.add_argument(
        "--no-guard",
        action="store_true",
        help="do not watch for loops, silence and missed ends, nor cap the length by that of the text",
    )


def speech_options(args: argparse.Namespace) -> SpeechOptions:
    """Return the options that the flags ask for."""
    from pyomni.options import SpeechOptions

    return SpeechOptions(
        seed=args.seed,
        greedy=args.greedy,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        predictor_temperature=args.predictor_temperature,
        predictor_top_k=args.predictor_top_k,
        predictor_top_p=args.predictor_top_p,
        guard=not args.no_guard,
        split=args.split,
        pause=args.pause,
        paragraph_pause=args.paragraph_pause,
        speculate=_proposals(args.speculate),
    )


def _proposals(given: str | None) -> int:
    """Return the number that ``--speculate`` asks for."""
    from pyomni.errors import ArgumentError
    from pyomni.options import SPECULATE_MAX

    if given in (None, "off"):
        return 0
    try:
        return int(given)
    except ValueError:
        raise ArgumentError(
            f"speculate is {given!r}, expected off or a whole number from 0 to {SPECULATE_MAX}"
        ) from None
