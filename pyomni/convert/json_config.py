"""A checkpoint's JSON files, each value read with the type it must have; errors name the key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pyomni.errors import ModelFileError, ModelFormatError

__all__ = ["Config", "read_config"]

REQUIRED: Any = object()
MAX_SIZE = (1 << 31) - 1


class Config:
    """One JSON object and the way to it.

    Parameters
    ----------
    path : file it came from
    values : the object
    where : keys leading to it, joined by dots, for messages
    """

    def __init__(self, path: Path, values: dict[str, Any], where: str = "") -> None:
        self.path, self.values, self.where = path, values, where

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def fail(self, key: str, expected: str) -> ModelFormatError:
        """An error about `key`: what was found there against what was expected."""
        name = f"{self.where}.{key}" if self.where else key
        found = f"is {_short(self.values[key])}" if key in self.values else "is missing"
        return ModelFormatError(f"{self.path}: {name!r} {found}, expected {expected}")

    def whole(self, key: str, default: Any = REQUIRED, *, low: int = 1, high: int = MAX_SIZE) -> int:
        """A whole number between `low` and `high`."""
        value = self._get(key, default)
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise self.fail(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: Any = REQUIRED, *, low: float = 0.0, high: float = 3e38) -> float:
        """A finite number between `low` and `high`."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise self.fail(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        """True or false."""
        value = self._get(key, default)
        if type(value) is not bool:
            raise self.fail(key, "true or false")
        return value

    def text(self, key: str, default: Any = REQUIRED) -> str:
        """A text that is not empty."""
        value = self._get(key, default)
        if type(value) is not str or not value:
            raise self.fail(key, "a text")
        return value

    def wholes(self, key: str, default: Any = REQUIRED, *, n_max: int = 16) -> list[int]:
        """A list of 1 to `n_max` positive whole numbers."""
        value = self._get(key, default)
        whole = isinstance(value, (list, tuple)) and all(type(v) is int and 0 < v <= MAX_SIZE for v in value)
        if not whole or not 0 < len(value) <= n_max:
            raise self.fail(key, f"1 to {n_max} positive whole numbers")
        return list(value)

    def sub(self, key: str, default: Any = REQUIRED) -> Config:
        """The object under `key`."""
        value = self._get(key, default)
        if not isinstance(value, dict):
            raise self.fail(key, "an object")
        return Config(self.path, value, f"{self.where}.{key}" if self.where else key)

    def _get(self, key: str, default: Any) -> Any:
        # JSON null stands for "not set" throughout these files.
        value = self.values.get(key)
        if value is not None:
            return value
        if default is REQUIRED:
            raise self.fail(key, "a value")
        return default


def read_config(path: Path) -> Config:
    """Read a JSON object from a file.

    Raises
    ------
    ModelFileError
        The file is not there or cannot be read.
    ModelFormatError
        It does not hold a JSON object.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: not found, expected a Hugging Face model folder to hold it") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ModelFormatError(f"{path}: holds a JSON {type(values).__name__}, expected an object")
    return Config(path, values)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
