"""``pyomni chat``: a question with sound and pictures, answered in text and aloud; or a conversation."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

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
    precision_flag,
    print_json,
)

if TYPE_CHECKING:
    from pyomni.api import Conversation, OmniModel, Reply, ReplyStream
    from pyomni.chat_options import ChatOptions
    from pyomni.options import SpeechOptions

EXAMPLE = """\
examples:
  pyomni chat "What is the tallest mountain?" -m omni.gguf
  pyomni chat "What does she say?" --audio question.wav --speak answer.wav -m omni.gguf
  pyomni chat "What is in the picture?" --image cat.jpg -m omni.gguf
  pyomni chat -m omni.gguf --system "Answer in one sentence."
  echo "Hello." | pyomni chat - --json -m omni.gguf"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "chat",
        help="Omni: text, sound and pictures in, text and speech out",
        description="Answer a question about text, sound and pictures; without a question, converse. In a "
        "conversation, /help lists the commands.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("prompt", nargs="?", metavar="PROMPT", help="the question; - reads stdin; none converses")
    for name in ("audio", "image", "video"):
        what = {"audio": "a clip to hear", "image": "an image to see", "video": "a video to see"}[name]
        p.add_argument(
            f"--{name}", metavar="F", action="append", default=[], help=f"{what}; may be given several times"
        )
    p.add_argument("--audio-in-video", action="store_true", help="hear the sound tracks of videos as well")
    p.add_argument("--system", metavar="TEXT", help="what the model should know or be before it all begins")
    p.add_argument("--speak", metavar="OUT", help="speak the answer into this file (wav, flac, mp3, ...)")
    p.add_argument("--voice", metavar="NAME", help="who speaks (default: the model's own)")
    p.add_argument("--load", metavar="FILE", help="go on with a conversation that was saved")
    p.add_argument("--save", metavar="FILE", help="save the conversation at the end")
    flags(p)
    omni_flags(p)
    precision_flag(p)
    draw = p.add_argument_group("sampling", "What is not given takes the model's default.")
    draw.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same answer")
    draw.add_argument("--greedy", action="store_true", help="always the likeliest token")
    draw.add_argument("--max-tokens", type=count, metavar="N", help="cut the answer at this length")
    draw.add_argument("--temperature", type=float, metavar="X", help="0 is greedy")
    draw.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest; 0 is all")
    draw.add_argument("--top-p", type=float, metavar="X", help="from the likeliest that make up X; 1 is all")
    draw.add_argument("--min-p", type=float, metavar="X", help="from those with X of the likeliest's chance")
    draw.add_argument("--repetition-penalty", type=float, metavar="X", help="of tokens seen; 1 is none")
    draw.add_argument("--presence-penalty", type=float, metavar="X", help="of tokens written; 0 is none")
    draw.add_argument("--max-seconds", type=float, metavar="S", help="cut the speech at this length")


def run(args: argparse.Namespace) -> int:
    """Answer, or converse."""
    from pyomni.cli.chatting import converse

    _check(args)
    with blame(USAGE):
        settings = Settings.of(args)
    prompt = _prompt(args)
    with ExitStack() as stack:
        model = stack.enter_context(open_omni(args))
        with blame(INPUT):
            talk = model.load_conversation(args.load) if args.load else model.conversation(args.system)
        if prompt is None:
            talk = converse(model, talk, settings, args)
        else:
            content = [*media(args), *([{"type": "text", "text": prompt}] if prompt else [])]
            spoken = answer(model, talk, content, settings, args.speak, show=not args.json)
            _report(args, spoken)
        if args.save:
            talk.save(args.save)
    return 0


class Settings:
    """How answers are written and spoken, from the flags."""

    def __init__(self, options: ChatOptions, speech: SpeechOptions, args: argparse.Namespace) -> None:
        self.options, self.speech = options, speech
        self.voice: str | None = args.voice
        self.audio_in_video: bool = args.audio_in_video
        self.max_seconds: float | None = args.max_seconds

    @classmethod
    def of(cls, args: argparse.Namespace) -> Settings:
        """Check the flags."""
        from pyomni.chat_options import ChatOptions
        from pyomni.options import SpeechOptions

        options = ChatOptions(
            seed=args.seed,
            greedy=args.greedy,
            max_tokens=args.max_tokens,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            min_p=args.min_p,
            repetition_penalty=args.repetition_penalty,
            presence_penalty=args.presence_penalty,
        )
        return cls(options, SpeechOptions(seed=args.seed), args)

    def stream(self, model: OmniModel, talk: Conversation, content: Any, speak: bool) -> ReplyStream:
        """Begin an answer."""
        from dataclasses import replace

        speech = self.speech
        if speak and self.max_seconds is not None and model.hop:
            frames = max(1, int(self.max_seconds * model.sample_rate / model.hop))
            speech = replace(speech, max_frames=frames)
        return talk.stream(
            content,
            speak=speak,
            voice=self.voice,
            options=self.options,
            speech_options=speech,
            audio_in_video=self.audio_in_video,
        )


def media(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the parts that the flags name; what is there to hear or see comes before the question."""
    return [
        {"type": kind, kind: path} for kind in ("audio", "image", "video") for path in getattr(args, kind)
    ]


def answer(
    model: OmniModel, talk: Conversation, content: Any, settings: Settings, out: str | None, *, show: bool
) -> Reply:
    """Answer once: text to stdout as it comes, speech into a file that appears whole or not at all."""
    from pyomni.audio.formats import format_of, open_writer, output_file

    with ExitStack() as stack:
        # the output opens first: a path that cannot be written is known before the work, not after
        with blame(USAGE):
            name = None if out is None else format_of(out, None)
        file: BinaryIO | None = None if out is None else stack.enter_context(output_file(out))
        stream = stack.enter_context(settings.stream(model, talk, content, out is not None))
        writer = None
        for event in stream:
            if event.text and show:
                sys.stdout.write(event.text)
                sys.stdout.flush()
            if event.pcm is not None and file is not None and name is not None:
                writer = writer or open_writer(file, name, stream.sample_rate)
                writer.write(event.pcm)
        if show:
            sys.stdout.write("\n")
        if file is not None and name is not None:
            info = None if stream.receipt is None else stream.receipt.info()
            (writer or open_writer(file, name, stream.sample_rate)).close(info)
        return stream.read()


def _check(args: argparse.Namespace) -> None:
    if args.speak == "-":
        raise CliError(USAGE, "--speak is -, but the text goes to stdout, expected a file name")
    if args.json and args.prompt is None:
        raise CliError(USAGE, "--json was given without a PROMPT, expected one: a conversation is no object")
    if args.system is not None and args.load is not None:
        raise CliError(USAGE, "--system and --load were both given, expected one of them")
    if args.max_seconds is not None and not 0 < args.max_seconds < 1e9:
        raise CliError(USAGE, f"--max-seconds is {args.max_seconds:g}, expected more than 0")
    for kind in ("audio", "image", "video"):
        for path in getattr(args, kind):
            if not Path(path).is_file():
                raise CliError(INPUT, f"{kind} {path!r} is not there, expected a file")


def _prompt(args: argparse.Namespace) -> str | None:
    """Return the question, from the command line or stdin; None to converse."""
    if args.prompt != "-":
        if args.prompt is not None and not args.prompt.strip() and not media(args):
            raise CliError(INPUT, "the prompt is empty, expected a question")
        return None if args.prompt is None else str(args.prompt)
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(INPUT, f"stdin is not UTF-8 at byte {error.start}, expected UTF-8 text") from None
    if not text.strip() and not media(args):
        raise CliError(INPUT, "stdin is empty, expected a question")
    return text


def _report(args: argparse.Namespace, reply: Reply) -> None:
    """Say how it ended: JSON, or a line where something was cut."""
    if reply.finish_reason == "length":
        message(args, f"the answer was cut at {len(reply.tokens)} tokens before the model ended it")
    speech = reply.speech
    if args.speak and speech is None:
        message(args, f"there was nothing to say: {args.speak} has no sound")
    if args.json:
        print_json(
            {
                "text": reply.text,
                "tokens": len(reply.tokens),
                "finish_reason": reply.finish_reason,
                "seed": reply.seed,
                "prompt_tokens": reply.n_prompt,
                "reused_tokens": reply.n_reused,
                "output": args.speak,
                "frames": 0 if speech is None else len(speech.codes),
                "speech_seed": None if speech is None else speech.seed,
                "speech_finish_reason": None if speech is None else speech.finish_reason,
            }
        )
