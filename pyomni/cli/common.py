"""What the verbs share: flags, exit codes, messages."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.errors import (
    ArgumentError,
    AudioError,
    Cancelled,
    ClusterError,
    ContextFull,
    DeviceError,
    DeviceWarning,
    ImageError,
    ModelFileError,
    ModelFormatError,
    OutOfMemory,
    OutputFileError,
    PrecisionWarning,
    ReferenceWarning,
    UnsupportedModel,
    VideoError,
)

if TYPE_CHECKING:
    from pyomni.api import OmniModel, SpeechModel
    from pyomni.voices import Voice

USAGE, MODEL, INPUT, RESOURCE, FAILED, INTERRUPTED = 2, 3, 4, 5, 6, 130

#: Those of `pyomni.convert`, which is too slow to import for a line of help; a test holds them equal.
FILE_TYPES = ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "iq4_nl")

#: First match wins; anything else is a bug and ends with 1.
EXIT_CODES: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    ((OutOfMemory, OutputFileError, ClusterError, DeviceError), RESOURCE),
    ((ModelFileError, ModelFormatError, UnsupportedModel), MODEL),
    ((ArgumentError, AudioError, ContextFull, ImageError, VideoError), INPUT),
    ((KeyboardInterrupt, Cancelled), INTERRUPTED),
    ((MemoryError,), RESOURCE),
)


class CliError(Exception):
    """An error whose exit code the verb knows better than the class of the exception does."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """argparse with pyomni's error line."""

    def error(self, message: str) -> Any:
        """Print one line and leave with 2."""
        print(f"pyomni: error: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(USAGE)


@contextmanager
def blame(code: int) -> Iterator[None]:
    """Let an `ArgumentError` from inside end with this exit code."""
    try:
        yield
    except ArgumentError as error:
        raise CliError(code, str(error)) from error


def flags(parser: argparse.ArgumentParser, *, model: bool = True, device: bool = True) -> None:
    """Add the flags every verb has."""
    if model:
        parser.add_argument(
            "-m",
            "--model",
            metavar="PATH|NAME",
            help="model file or a pulled model's name; else $PYOMNI_MODEL, else the voice in the package",
        )
    if device:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda0, vulkan0, ... (default auto)")
        parser.add_argument(
            "-t", "--threads", type=count, metavar="N", help="CPU threads (default: one per core)"
        )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no prose; errors only")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout in place of prose")
    parser.add_argument("--debug", action="store_true", help="tracebacks")


def precision_flag(parser: argparse.ArgumentParser) -> None:
    """Add the precision of what turns codes into sound."""
    parser.add_argument(
        "--precision",
        choices=("exact", "fast"),
        default="exact",
        help="of the codec on the CPU: float32, or bfloat16 products where the CPU has them (default exact)",
    )


def omni_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of large models."""
    parser.add_argument(
        "--kv", choices=("f32", "f16", "q8_0"), default="f32", help="type of the KV caches (default f32)"
    )
    parser.add_argument(
        "--experts",
        choices=("device", "cpu"),
        default="device",
        help="where the experts are; cpu for a device that is too small (default device)",
    )
    parser.add_argument(
        "--packed",
        action="store_true",
        help="rearrange matrices for the CPU: faster but for long prompts, and all in memory",
    )


def clone_flags(parser: Any) -> None:
    """Add the flags that make a voice of a clip."""
    parser.add_argument(
        "--clone",
        metavar="REF",
        help="speak with the voice of this clip, some seconds of sound (base models)",
    )
    parser.add_argument(
        "--transcript",
        metavar="TEXT",
        help="what the clip says: clones in context, which is closest (default: by speaker embedding alone)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare TEXT with what a speech recogniser hears in REF (English; pip install 'pyomni[check]')",
    )


def check_clone_flags(args: argparse.Namespace) -> None:
    """Refuse a transcript without its clip."""
    if args.transcript is not None and args.clone is None:
        raise CliError(INPUT, "--transcript was given without --clone, expected the clip it is of")
    if args.check and args.transcript is None:
        raise CliError(USAGE, "--check was given without --transcript, expected one to compare with")


def clone_voice(model: SpeechModel, args: argparse.Namespace, name: str = "") -> Voice:
    """Make the voice that the flags ask for; what is doubtful about the clip is said on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ReferenceWarning)
        voice = model.clone(args.clone, args.transcript, name=name, check=args.check)
    for one in caught:
        message(args, f"warning: {one.message}")
    return voice


def count(text: str) -> int:
    """Parse a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small, expected 1 or more")
    return number


def message(args: argparse.Namespace, text: str) -> None:
    """Print a line to stderr unless quiet."""
    if not args.quiet:
        print(f"pyomni: {text}", file=sys.stderr)


def print_json(value: dict[str, Any]) -> None:
    """Print one object on one line."""
    print(json.dumps(value, ensure_ascii=False))


def report_files(args: argparse.Namespace, files: Sequence[Path]) -> None:
    """Say which model files were written: `args.output` and its siblings, of `args.type`."""
    sizes = {str(path): path.stat().st_size for path in files}
    if args.json:
        n_bytes = sum(sizes.values())
        print_json({"output": args.output, "type": args.type, "bytes": n_bytes, "files": list(sizes)})
    elif not args.quiet:
        for name, n_bytes in sizes.items():
            print(f"{name}: {n_bytes / 1e6:.1f} MB, {args.type}")


def say_default(args: argparse.Namespace) -> None:
    """Say so where no model was given and the packaged voice speaks."""
    if args.model is None and not os.environ.get("PYOMNI_MODEL"):
        message(args, "no model given (-m or $PYOMNI_MODEL): using the small English voice in the package")


def open_model(
    args: argparse.Namespace, lanes: int = 1, components: tuple[str, ...] | None = None
) -> SpeechModel:
    """Open the model the flags ask for, saying so where it is the packaged voice."""
    from pyomni.api import COMPONENTS, SpeechModel, model_path

    path = model_path(args.model)
    say_default(args)
    # what is left to be wrong in the arguments is the device
    with blame(RESOURCE), warnings.catch_warnings(record=True) as caught:
        for kind in (DeviceWarning, PrecisionWarning):
            warnings.simplefilter("always", kind)
        model = SpeechModel(
            path,
            device=args.device,
            threads=args.threads,
            lanes=lanes,
            components=COMPONENTS if components is None else components,
            kv=getattr(args, "kv", "f32"),
            experts=getattr(args, "experts", "device"),
            packed=getattr(args, "packed", False),
            precision=getattr(args, "precision", "exact"),
        )
    for one in caught:
        message(args, f"warning: {one.message}")
    return model


def open_omni(args: argparse.Namespace, lanes: int = 1) -> OmniModel:
    """Open the model that converses which the flags ask for."""
    from pyomni.api import OmniModel, model_path
    from pyomni.metadata import is_omni

    if args.model is None and not os.environ.get("PYOMNI_MODEL"):
        raise CliError(
            MODEL, "no model was given, expected -m PATH or $PYOMNI_MODEL: the packaged voice only speaks"
        )
    path = model_path(args.model)
    if not is_omni(path):
        raise CliError(
            MODEL, f"{path}: is a model that speaks texts, expected a Qwen3-Omni one, which converses"
        )
    with blame(RESOURCE):  # what is left to be wrong in the arguments is the device
        return OmniModel(
            path,
            device=args.device,
            threads=args.threads,
            lanes=lanes,
            kv=args.kv,
            experts=args.experts,
            packed=args.packed,
            precision=getattr(args, "precision", "exact"),
        )
