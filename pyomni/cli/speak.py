"""``pyomni speak``: text to speech."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO

from pyomni.bench import peak_mb
from pyomni.cli import replay
from pyomni.cli.common import (
    INPUT,
    USAGE,
    CliError,
    blame,
    check_clone_flags,
    clone_voice,
    count,
    flags,
    message,
    open_model,
    precision_flag,
    print_json,
)
from pyomni.cli.play import play, player
from pyomni.cli.progress import Progress
from pyomni.cli.speech_flags import part_flags, sampling_flags, speech_options, voice_flags
from pyomni.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pyomni.api import SpeechModel
    from pyomni.options import SpeechOptions
    from pyomni.receipt import Receipt

EXAMPLE = """\
examples:
  pyomni speak "Hello there." -m model.gguf --voice ryan -o hello.wav
  pyomni speak -f story.txt -o story.mp3 --seed 7
  pyomni speak -f book.txt -o book.wav --lanes 4 --pause 0.3
  pyomni speak "Hello there." -m base.gguf --clone ann.wav --transcript "What ann.wav says."
  echo "Hello." | pyomni speak - -o - | aplay"""


#: What is said of a speech that did not simply end.
ENDINGS = {
    "length": "the speech was cut at {frames} frames ({seconds:.1f} s) before the model ended it",
    "repaired": "the speech went wrong on the way and was taken up again from where it was good",
    "runaway": "the speech would not end, or went round in a loop: this is the {seconds:.1f} s that were "
    "good; another seed may do better",
    "silence": "the speech fell silent without an end: this is the {seconds:.1f} s before; another seed may "
    "do better",
}


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "speak",
        help="text to speech",
        description="Speak a text.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - reads stdin")
    p.add_argument("-f", "--file", metavar="FILE", help="read the text from a UTF-8 file")
    p.add_argument("-o", "--output", metavar="OUT", help="default speech.wav; - is stdout")
    p.add_argument(
        "--format",
        metavar="FORMAT",
        help="wav, flac, mp3, opus, ogg, aac, pcm (default: by OUT's extension)",
    )
    precision_flag(p)
    flags(p)
    voice_flags(p)
    sampling_flags(p)
    length = p.add_argument_group("length")
    length.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help="cut the speech at this length; pauses between parts come on top",
    )
    part_flags(length)
    length.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="faster or slower at the same pitch, 0.25 to 4; needs pyomni[server]",
    )
    more = p.add_argument_group("more")
    more.add_argument("--play", action="store_true", help="play the file when it is done")
    more.add_argument(
        "--codes",
        metavar="OUT.npy",
        help="also write the codes, int32 [frames, groups]; of parts, without the pauses",
    )
    more.add_argument("--from-codes", metavar="IN.npy", help="decode these codes; no text, no language model")
    more.add_argument(
        "--receipt",
        metavar="F",
        help="say again what F was made of (a WAV of pyomni, or what --json printed) and compare the codes; "
        "ends with 6 where they differ. Writes the speech where -o says so",
    )
    more.add_argument(
        "--lanes",
        type=count,
        default=1,
        metavar="N",
        help="parts of a long text that are decoded together; the speech is the same",
    )


def run(args: argparse.Namespace) -> int:
    """Speak, write, report."""
    from pyomni.audio.formats import format_of, open_writer, output_file
    from pyomni.audio.tempo import Tempo

    receipt = replay.prepare(args) if args.receipt is not None else None
    args.output = "speech.wav" if args.output is None else args.output
    _check(args)
    with blame(USAGE):
        name = format_of(args.output, args.format)
        Tempo(24_000, args.speed)  # a speed that cannot be had is known before the work
        options = speech_options(args) if receipt is None else receipt.speech_options()
    command = player(args.output, name) if args.play else None
    text = None if args.from_codes or receipt is not None else _text(args)
    if receipt is not None:
        text = replay.words(args, receipt, _text)
    codes = _read_codes(args.from_codes) if args.from_codes else None
    with ExitStack() as stack:
        # the outputs open first: a path that cannot be written is known before the work, not after
        file: BinaryIO = stack.enter_context(output_file(args.output))
        codes_file = stack.enter_context(output_file(args.codes)) if args.codes else None
        components = ("codec_decoder",) if args.from_codes else None
        model = stack.enter_context(open_model(args, lanes=args.lanes, components=components))
        took = _Took(model, args, options)
        blocks = took.decode(codes) if codes is not None else took.speak(text or "")
        stack.callback(blocks.close)
        progress = stack.enter_context(Progress(show=not args.quiet and not args.json))
        writer = None
        for pcm in blocks:
            writer = writer or open_writer(file, name, model.sample_rate)
            writer.write(pcm)
            progress.update(took.seconds, took.rtf)
        info = None if took.receipt is None else took.receipt.info()
        (writer or open_writer(file, name, model.sample_rate)).close(info)
        if codes_file is not None:
            _write_codes(codes_file, took.codes)
    compared = None if receipt is None or took.receipt is None else replay.compare(receipt, took.receipt)
    _report(args, took, compared)
    if command is not None:
        play(command)
    return 0 if compared is None else replay.judge(args, compared)


class _Took:
    """One run: its blocks, and what it took so far."""

    def __init__(self, model: SpeechModel, args: argparse.Namespace, options: SpeechOptions) -> None:
        self.model, self.args, self.options = model, args, options
        self.sample_rate = model.sample_rate
        self.n_samples, self.wall_s = 0, 0.0
        self.ttfa_s: float | None = None
        self.seed: int | None = None
        self.finish_reason: str | None = None
        self.guard: dict[str, int] | None = None
        self.codes: npt.NDArray[np.int32] | None = None
        self.receipt: Receipt | None = None

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate

    @property
    def rtf(self) -> float | None:
        return self.wall_s / self.seconds if self.n_samples else None

    def speak(self, text: str) -> Any:
        """Yield the blocks of a text."""
        from pyomni.audio.tempo import stretched

        args = self.args
        stream = self.model.stream(
            text,
            voice=self._voice(),
            language=args.language,
            instruct=args.instruct,
            options=_limit(self.options, args.max_seconds, self.model),
        )
        self.seed = stream.seed
        with stream:
            yield from self._timed(stretched(stream, self.sample_rate, args.speed))
        self.finish_reason, self.codes = stream.finish_reason, stream.codes
        self.guard = stream.guard._asdict()
        self.receipt = stream.receipt

    def _voice(self) -> Any:
        from pyomni.voices import Voice

        args = self.args
        if args.clone is not None:
            return clone_voice(self.model, args)
        return args.voice if args.design is None else Voice.design(args.design)

    def decode(self, codes: npt.NDArray[np.int32]) -> Any:
        """Yield the samples of codes."""
        from pyomni.audio.tempo import stretched

        self.codes = codes
        voice = self._voice()
        whole = (self.model.decode(c, voice=voice) for c in (codes,))
        yield from self._timed(stretched(whole, self.sample_rate, self.args.speed))

    def _timed(self, blocks: Any) -> Iterator[npt.NDArray[np.float32]]:
        start = perf_counter()
        for pcm in blocks:
            self.wall_s = perf_counter() - start
            self.ttfa_s = self.wall_s if self.ttfa_s is None else self.ttfa_s
            self.n_samples += len(pcm)
            yield pcm
        self.wall_s = perf_counter() - start


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other."""
    given = [
        name
        for name, value in (("TEXT", args.text), ("-f", args.file), ("--from-codes", args.from_codes))
        if value is not None
    ]
    if len(given) != 1:
        found = "nothing to say" if not given else " and ".join(given)
        raise CliError(
            USAGE,
            f"found {found}, expected one of TEXT, -f FILE, - or --from-codes; see `pyomni speak --help`",
        )
    if args.json and args.output == "-":
        raise CliError(USAGE, "--json and -o - both write to stdout, expected one of them")
    for one, other in (("design", "instruct"), ("voice", "clone"), ("voice", "design"), ("clone", "design")):
        if getattr(args, one) is not None and getattr(args, other) is not None:
            raise CliError(USAGE, f"--{one} and --{other} were both given, expected one of them")
    check_clone_flags(args)
    if args.max_seconds is not None and not 0 < args.max_seconds < 1e9:
        raise CliError(USAGE, f"--max-seconds is {args.max_seconds:g}, expected more than 0")
    if args.codes == "-":
        raise CliError(USAGE, "--codes is -, expected a file name")


def _limit(options: SpeechOptions, max_seconds: float | None, model: SpeechModel) -> SpeechOptions:
    """Turn seconds into whole frames, at least one."""
    from dataclasses import replace

    if max_seconds is None:
        return options
    return replace(options, max_frames=max(1, int(max_seconds * model.sample_rate / model.hop)))


def _text(args: argparse.Namespace) -> str:
    """Read the text to speak."""
    name = args.file if args.file is not None else "stdin"
    try:
        if args.file is not None:
            data = Path(args.file).read_bytes()
        elif args.text == "-":
            data = sys.stdin.buffer.read()
        else:
            return str(args.text)
    except OSError as error:
        raise CliError(INPUT, f"text file {name!r} could not be read: {error.strerror or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{name!r} is not UTF-8 at byte {error.start}, expected UTF-8 text") from None


def _read_codes(path: str) -> npt.NDArray[np.int32]:
    import numpy as np

    try:
        codes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not one"
        raise ArgumentError(
            f"codes file {path!r} could not be read: {reason}, expected an array in numpy's .npy format"
        ) from error
    if not isinstance(codes, np.ndarray):  # an .npz archive
        raise ArgumentError(f"codes file {path!r} is an archive, expected one array in numpy's .npy format")
    return codes


def _write_codes(file: BinaryIO, codes: npt.NDArray[np.int32] | None) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(codes, np.int32))
    file.write(buffer.getbuffer())


def _report(args: argparse.Namespace, took: _Took, compared: dict[str, Any] | None) -> None:
    """Print the result: JSON, or a line."""
    frames = 0 if took.codes is None else len(took.codes)
    if took.finish_reason in ENDINGS:
        message(args, ENDINGS[took.finish_reason].format(frames=frames, seconds=took.seconds))
    if args.json:
        print_json(
            {
                "output": args.output,
                "seconds": took.seconds,
                "frames": frames,
                "sample_rate": took.sample_rate,
                "seed": took.seed,
                "finish_reason": took.finish_reason,
                "guard": took.guard,
                "rtf": took.rtf,
                "ttfa_s": took.ttfa_s,
                "wall_s": took.wall_s,
                "peak_mb": peak_mb(),
                "receipt": None if took.receipt is None else took.receipt.to_dict(words=True),
                **({} if compared is None else {"replay": compared}),
            }
        )
    elif not args.quiet and (compared is None or args.output != os.devnull):
        seed = "" if took.seed is None else f", seed {took.seed}"
        rtf = "" if took.rtf is None else f", RTF {took.rtf:.2f}"
        line = f"{args.output}: {took.seconds:.2f} s{seed}{rtf}"
        print(line, file=sys.stderr if args.output == "-" else sys.stdout)
