"""What a check finds, as a value."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from pyomni.errors import PyOmniError

__all__ = ["FAIL", "OK", "SKIP", "WARN", "Check", "graded", "guarded", "skipped"]

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
        One word or two, the same in every run.
    status : {"ok", "warn", "fail", "skip"}
        ``warn`` is unusual and may be meant; ``skip`` was not checked, and `measured` says why.
    measured : str
        What was found.
    normal : str
        What a healthy one shows.
    means : str
        What a failure usually means.
    advice : str
        What to try then.
    trace : str
        Where a check that could not go on stopped, as Python prints it.
    """

    name: str
    status: str
    measured: str
    normal: str = ""
    means: str = ""
    advice: str = ""
    trace: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as plain values, ready for JSON."""
        return asdict(self)


def skipped(name: str, why: str) -> Check:
    """Return a check that was not made."""
    return Check(name, SKIP, why)


def graded(value: float, good: float, bearable: float) -> str:
    """Return ok up to `good`, warn up to `bearable`, else fail; no number at all fails."""
    return OK if value <= good else WARN if value <= bearable else FAIL


def guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Yield what a family of checks yields; if it cannot go on, that is a failed check under this name."""
    iterator = None
    try:
        iterator = checks()
        yield from iterator
    except (PyOmniError, MemoryError) as error:
        text = " ".join(str(error).split()) or "memory ran out"
        yield Check(
            name,
            FAIL,
            f"stopped: {text}",
            "runs to its end",
            "the sentence names what was found and what was expected",
            "convert or download the file again; with memory at its end, a smaller type",
            traceback.format_exc(),
        )
    except Exception as error:  # a doctor reports, whatever happens
        yield Check(
            name,
            FAIL,
            f"stopped: {type(error).__name__}: {' '.join(str(error).split())}",
            "runs to its end",
            "a bug in pyomni, or a broken package it stands on",
            "run with --debug and report what it prints",
            traceback.format_exc(),
        )
    finally:
        if iterator is not None:
            with suppress(Exception):
                iterator.close()  # type: ignore[attr-defined]
