"""``pyomni transcribe``: speech to text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pyomni.cli.common import (
    INPUT,
    USAGE,
    CliError,
    blame,
    count,
    flags,
    message,
    omni_flags,
    open_omni,
    print_json,
)

EXAMPLE = """\
examples:
  pyomni transcribe talk.wav -m omni.gguf
  pyomni transcribe talk.mp3 --language english --json -m omni.gguf"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "transcribe",
        help="Omni: speech to text",
        description="Write down what is said in a clip.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("audio", metavar="AUDIO", help="a clip in any format soundfile reads")
    p.add_argument("--language", metavar="NAME", help="what is spoken, such as english (default: any)")
    p.add_argument("--max-tokens", type=count, metavar="N", help="cut the text at this length")
    flags(p)
    omni_flags(p)


def run(args: argparse.Namespace) -> int:
    """Write the text to stdout as it comes."""
    from pyomni.chat_options import ChatOptions

    if not Path(args.audio).is_file():
        raise CliError(INPUT, f"audio {args.audio!r} is not there, expected a file")
    with blame(USAGE):
        options = ChatOptions(greedy=True, max_tokens=args.max_tokens)
    with (
        open_omni(args) as model,
        model.stream_transcript(args.audio, language=args.language, options=options) as stream,
    ):
        for event in stream:
            if not args.json:
                sys.stdout.write(event.text)
                sys.stdout.flush()
        if not args.json:
            sys.stdout.write("\n")
        reply = stream.read()
    if reply.finish_reason == "length":
        message(args, f"the text was cut at {len(reply.tokens)} tokens before the model ended it")
    if args.json:
        print_json(
            {
                "text": reply.text.strip(),
                "tokens": len(reply.tokens),
                "finish_reason": reply.finish_reason,
                "prompt_tokens": reply.n_prompt,
            }
        )
    return 0
