"""``pyomni batch``: many texts from a file into a folder."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import (
    INPUT,
    INTERRUPTED,
    USAGE,
    CliError,
    blame,
    check_clone_flags,
    count,
    flags,
    message,
    open_model,
    print_json,
    say_default,
)
from pyomni.cli.speech_flags import part_flags, sampling_flags, speech_options, voice_flags

if TYPE_CHECKING:
    from pyomni.batch import Done

EXAMPLE = """\
examples:
  pyomni batch lines.jsonl spoken -m model.gguf --voice ryan --lanes 4
  printf '{"text": "One."}\\n{"text": "Two.", "id": "two"}\\n' | pyomni batch - spoken --format flac

A line is an object with "text", and if wanted "id", "voice" and others (docs/batch.md). What is done is in
spoken/manifest.jsonl: the same command goes on where it was left, and tries again what failed."""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "batch",
        help="many texts from a file, resumable",
        description="Speak every line of a JSONL file into a folder.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run, streaming_layout=None)
    p.add_argument("input", metavar="IN.jsonl", help="one JSON object a line; - reads stdin")
    p.add_argument("output", metavar="OUT_DIR", help="folder of the files and their manifest")
    p.add_argument(
        "--format",
        default="wav",
        metavar="FORMAT",
        help="wav, flac, mp3, opus, ogg, aac, pcm (default wav)",
    )
    p.add_argument(
        "--lanes", type=count, default=4, metavar="N", help="texts that are decoded together (default 4)"
    )
    p.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="speak on all nodes of a Ray cluster: HOST:PORT of its head, or auto (docs/batch.md)",
    )
    flags(p)
    voice_flags(p)
    sampling_flags(p)
    length = p.add_argument_group("length")
    length.add_argument("--max-seconds", type=float, metavar="S", help="cut each speech at this length")
    part_flags(length)


def run(args: argparse.Namespace) -> int:
    """Speak what is not done, report."""
    from pyomni.audio.formats import format_of
    from pyomni.batch import OPTIONS, Done, Folder, read_records
    from pyomni.batch import run as speak_all

    check_clone_flags(args)
    with blame(USAGE):
        format_of("-", args.format)
        options = speech_options(args)
    defaults = {name: getattr(options, name) for name in OPTIONS}
    words = ("voice", "clone", "transcript", "design", "instruct", "language", "max_seconds")
    defaults |= {name: getattr(args, name) for name in words if getattr(args, name) is not None}
    if args.clone is not None:
        defaults["clone"] = str(Path(args.clone).resolve())  # a record's is looked for beside the file
    done = Done()
    with ExitStack() as stack:
        lines, clips = stack.enter_context(_lines(args.input))
        if args.ray is not None:
            stack.enter_context(_cluster(args.ray))
        folder = stack.enter_context(Folder(args.output))
        speak: Callable[..., Done]
        if args.ray is None:
            speak = partial(speak_all, stack.enter_context(open_model(args, lanes=args.lanes)))
        else:
            speak = _on_nodes(args)
        bar = stack.enter_context(_bar(show=not args.quiet and not args.json))

        def told(now: Done) -> None:
            nonlocal done
            done = now
            bar.set_postfix_str(f"{now.seconds:.1f} s of sound, {now.failed} failed", refresh=False)
            bar.update(now.spoken + now.before + now.failed - bar.n)

        try:
            done = speak(
                read_records(lines, defaults),
                folder,
                format=args.format,
                clips=clips,
                on_progress=told,
            )
        except KeyboardInterrupt:
            raise CliError(
                INTERRUPTED, f"interrupted after {_said(done)}: the same command goes on from there"
            ) from None
    return _report(args, done)


def _cluster(address: str) -> AbstractContextManager[None]:
    """Connect to a cluster."""
    if importlib.util.find_spec("ray") is None:
        raise CliError(INPUT, "ray is not installed, expected it for --ray: pip install 'pyomni[ray]'")
    from pyomni.batch.cluster import connected

    return connected(address)


def _on_nodes(args: argparse.Namespace) -> Callable[..., Done]:
    """Return what speaks on the nodes of a cluster, which find the model where this machine has it."""
    from pyomni.batch.cluster import run as speak_over

    say_default(args)
    model = args.model or os.environ.get("PYOMNI_MODEL") or None
    if model is not None and Path(model).exists():
        model = str(Path(model).resolve())
    options = {"device": args.device, "threads": args.threads, "lanes": args.lanes}

    def lost(address: str) -> None:
        message(args, f"node {address} was lost: others speak what it had")

    return partial(speak_over, model, options=options, on_lost=lost)


def _said(done: Done) -> str:
    parts = [f"{done.spoken} spoken"]
    parts += [f"{done.before} done before"] if done.before else []
    parts += [f"{done.failed} failed"] if done.failed else []
    return ", ".join(parts)


def _report(args: argparse.Namespace, done: Done) -> int:
    if args.json:
        about = {"spoken": done.spoken, "before": done.before, "failed": done.failed, "seconds": done.seconds}
        print_json({"output": args.output, **about})
    elif not args.quiet:
        print(f"{args.output}: {_said(done)}, {done.seconds:.1f} s of sound")
    if done.failed:
        raise CliError(
            INPUT,
            f"{done.failed} records failed: {Path(args.output) / 'manifest.jsonl'} says why, line by line",
        )
    return 0


@contextmanager
def _lines(name: str) -> Iterator[tuple[Iterator[str], Path]]:
    """Open the input: its lines, and where the paths in it begin."""
    try:
        file = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115, closed below
    except OSError as error:
        raise CliError(INPUT, f"batch file {name!r} could not be read: {error.strerror or error}") from error

    def decoded() -> Iterator[str]:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield "not UTF-8"  # a bad record, whose line says that it is no JSON

    try:
        yield decoded(), Path(name).parent if name != "-" else Path()
    finally:
        if name != "-":
            file.close()


@contextmanager
def _bar(*, show: bool) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(
        unit=" records", file=sys.stderr, leave=False, disable=not (show and sys.stderr.isatty())
    ) as bar:
        yield bar
