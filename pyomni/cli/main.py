"""Parse, run a verb, turn what went wrong into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pyomni import __version__
from pyomni.cli import (
    batch,
    bench,
    chat,
    convert,
    doctor,
    imatrix,
    info,
    pull,
    quantize,
    serve,
    speak,
    transcribe,
    verify,
    voices,
)
from pyomni.cli.common import EXIT_CODES, INTERRUPTED, CliError, Parser
from pyomni.errors import DeviceWarning, PyOmniError

EXAMPLE = """\
example:
  pyomni speak "Hello there." -m model.gguf --voice ryan -o hello.wav
  pyomni chat "What is this?" --image cat.jpg --speak answer.wav -m omni.gguf

exit codes: 0 done, 2 wrong usage, 3 the model file, 4 the text, audio or voice given,
5 memory, device or disk, 6 a check failed, 130 interrupted"""


def parser() -> Parser:
    """Return the parser of the whole command."""
    from argparse import RawDescriptionHelpFormatter

    top = Parser(
        prog="pyomni",
        description="Text to speech with Qwen3-TTS, conversations with Qwen3-Omni, on ggml.",
        epilog=EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"pyomni {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    files = (pull, convert, quantize, imatrix)
    for module in (speak, batch, serve, chat, transcribe, voices, info, *files, doctor, verify, bench):
        module.add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; None takes those of the process.
    """
    # the networks' sums are ggml's; numpy's BLAS would start a thread per core at import, and where it
    # cannot, send this process an interrupt
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.platform == "win32":
        _speak_utf8()
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    try:
        with _sigterm_interrupts(), _warning_lines(args.quiet):
            code = int(args.run(args))
            sys.stdout.flush()
            return code
    except BaseException as error:  # the one place that ends the program
        if isinstance(error, (SystemExit, GeneratorExit)):
            raise
        if args.debug:
            traceback.print_exc()
        return _report(error)


def _report(error: BaseException) -> int:
    """Print the error's line and return its exit code."""
    reader_left = _reader_left(error)
    if reader_left or _reader_left(error.__cause__):
        # stop Python from flushing into the closed pipe at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = 1
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, CliError):
        code = error.code
    else:
        code = next((code for classes, code in EXIT_CODES if isinstance(error, classes)), 1)
    if code == INTERRUPTED and not isinstance(error, CliError):
        text = "interrupted, nothing was written"
    elif reader_left:
        code, text = 5, "standard output was closed by its reader"
    elif not isinstance(error, PyOmniError) and _memory_ran_out(error):
        code, text = 5, "memory ran out"
    elif code == 1 and not isinstance(error, PyOmniError):
        text = f"a bug: {type(error).__name__}: {text}; --debug shows where"
    print(f"pyomni: error: {text}", file=sys.stderr)
    return code


def _reader_left(error: BaseException | None) -> bool:
    """Whether this error says that nobody reads our standard output any more."""
    if sys.platform == "win32" and isinstance(error, OSError):  # which calls a closed pipe a bad argument
        return error.errno in (errno.EPIPE, errno.EINVAL) and error.filename is None
    return isinstance(error, BrokenPipeError)


def _speak_utf8() -> None:
    """Read and write UTF-8 where Windows would take its code page, which lacks most letters of the world."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not os.environ.get("PYTHONIOENCODING"):
            stream.reconfigure(encoding="utf-8")


#: What the loader of libraries says where it is given no memory; Python makes an ImportError of it.
_LIBRARY_WITHOUT_MEMORY = ("failed to map segment", "cannot allocate memory", "cannot map zero-fill pages")


def _memory_ran_out(error: BaseException | None) -> bool:
    """Whether this error, or one that led to it, says that there was no memory."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(error, ImportError):
            words = str(error).lower()
            if any(said in words for said in _LIBRARY_WITHOUT_MEMORY):
                return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _warning_lines(quiet: bool) -> Iterator[None]:
    """Say in one line, and each time, that a device is passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet else "always", DeviceWarning)
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, DeviceWarning):
                print(f"pyomni: warning: {message}", file=sys.stderr)
            else:
                shown(message, category, *rest, **more)

        warnings.showwarning = show
        yield


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, and Ctrl-Break on Windows, end the work as Ctrl-C does: files half written are removed."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
