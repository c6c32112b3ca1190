"""``pyomni speak --receipt``: say again what a receipt is of, and tell whether it is the same."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import FAILED, INPUT, MODEL, USAGE, CliError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyomni.receipt import Receipt

__all__ = ["compare", "judge", "prepare", "words"]

#: Arguments of which the receipt has its own, and those of a voice that it may lack.
OWN = ("seed", "temperature", "top_k", "top_p", "repetition_penalty", "predictor_temperature",
       "predictor_top_k", "predictor_top_p", "max_seconds", "pause", "paragraph_pause",
       "speculate", "from_codes")  # fmt: skip
FLAGS = ("greedy", "no_guard")
VOICES = ("voice", "clone", "design")


def prepare(args: argparse.Namespace) -> Receipt:
    """Read the receipt and set the arguments it stands for: text, voice, language, model, and no output.

    Raises
    ------
    CliError
        An argument was given that the receipt has its own of, the words or the voice are needed and in
        neither, or no model is the one it is of.
    ArgumentError
        There is no receipt.
    """
    from pyomni.receipt import Receipt

    given = [name for name in OWN if getattr(args, name) is not None]
    given += [name for name in FLAGS if getattr(args, name)]
    given += ["language"] if args.language != "auto" else []
    given += ["split"] if args.split != "auto" else []
    if given:
        flag = given[0].replace("_", "-")
        raise CliError(
            USAGE, f"--{flag} and --receipt were both given, expected one: the receipt has its own"
        )
    receipt = Receipt.read(args.receipt)
    if not receipt.words_hash:
        raise CliError(
            INPUT,
            f"{args.receipt}: is of a text that arrived in pieces or of a conversation, expected one of a "
            "text that was spoken in one",
        )
    if args.text is None and args.file is None:
        if receipt.text is None:
            raise CliError(
                INPUT, f"{args.receipt}: the receipt does not hold the text, expected it as TEXT or -f FILE"
            )
        args.text = receipt.text
    if args.instruct is None and args.design is None:
        args.instruct = receipt.instruct
    _voice(args, receipt)
    args.language = receipt.language
    args.model = str(_model(args, receipt))
    if args.output is None:
        args.output, args.format = os.devnull, "pcm"
    return receipt


def words(args: argparse.Namespace, receipt: Receipt, read: Callable[[argparse.Namespace], str]) -> str:
    """Return the text to say, once it is sure that the words are those of the receipt.

    Parameters
    ----------
    read : reads the text that the command line names

    Raises
    ------
    CliError
        They are others.
    """
    from pyomni.receipt import words_hash

    # the receipt's own text may be "-", which the command line takes for stdin
    text = receipt.text if receipt.text is not None and args.text == receipt.text else read(args)
    description = receipt.description if args.design is None else args.design
    if words_hash(text, args.instruct, description) != receipt.words_hash:
        what = "text, instruction or description" if receipt.voice == "design" else "text or instruction"
        raise CliError(FAILED, f"{args.receipt}: is of another {what} than the one given")
    return text


def compare(there: Receipt, here: Receipt) -> dict[str, Any]:
    """Return whether two receipts are of the same codes, and what else differs."""
    return {
        "matches": there.codes_hash == here.codes_hash,
        "differences": there.public().differences(here.public()),
    }


def judge(args: argparse.Namespace, compared: dict[str, Any]) -> int:
    """Say whether it matched, and return the exit code.

    Raises
    ------
    CliError
        It did not.
    """
    differences = "; ".join(compared["differences"])
    if not compared["matches"]:
        raise CliError(FAILED, f"{args.receipt}: what was made here does not match: {differences}")
    if not args.json and not args.quiet:
        line = f"{args.receipt}: the codes match" + (f" ({differences})" if differences else "")
        print(line, file=sys.stderr if args.output == "-" else sys.stdout)
    return 0


def _voice(args: argparse.Namespace, receipt: Receipt) -> None:
    """Set the voice of the receipt, unless one was given."""
    if any(getattr(args, name) is not None for name in VOICES):
        return
    if receipt.voice == "preset":
        args.voice = receipt.voice_name
    elif receipt.voice == "design":
        if receipt.description is None:
            raise CliError(
                INPUT,
                f"{args.receipt}: the receipt does not hold the description of the voice, expected --design",
            )
        args.design = receipt.description
    elif receipt.voice == "clone":
        from pyomni.voices import library

        if receipt.voice_name.strip().lower() not in library.names():
            raise CliError(
                INPUT, f"{args.receipt}: is of a cloned voice, expected it as --voice FILE or --clone REF"
            )
        args.voice = receipt.voice_name


def _model(args: argparse.Namespace, receipt: Receipt) -> Path:
    """Return the model of the receipt: the one given, else whichever is here and is the one.

    Raises
    ------
    CliError
        The one given is another, or none here is the one.
    """
    from pyomni.api import model_path
    from pyomni.errors import ModelFileError, ModelFormatError
    from pyomni.folders import packaged_voice
    from pyomni.hub.store import held
    from pyomni.metadata import fingerprint

    if args.model is not None or os.environ.get("PYOMNI_MODEL"):
        path = model_path(args.model)
        found = fingerprint(path)
        if receipt.model_hash and found != receipt.model_hash:
            raise CliError(
                FAILED,
                f"{args.receipt}: is of the model {receipt.model} ({receipt.model_hash}), and {path} is "
                f"another ({found})",
            )
        return path
    for path in [packaged_voice(), *(one.path for one in held())]:
        try:
            if fingerprint(path) == receipt.model_hash:
                return path
        except (ModelFileError, ModelFormatError):
            continue  # a model that is gone or damaged is not the one
    raise CliError(
        MODEL,
        f"{args.receipt}: is of the model {receipt.model} ({receipt.model_hash}), which is neither the "
        "packaged voice nor one that was pulled, expected it as -m",
    )
