"""A toy model for those who have none: every component at toy size, with random weights. It makes noise.

It is a CustomVoice model with the real speaker and language names and a byte vocabulary, written into the
user's cache folder the first time it is asked for (well under a second) and found there afterwards.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from pathlib import Path

from pyomni.errors import ModelFileError, PyOmniError
from pyomni.folders import cache_folder

__all__ = ["make_toy_model", "toy_model_path"]

SEED = 1234
SIZES = {"head_dim": 16, "cp_head_dim": 16}  # of the tiny scale, smaller still
EOS_LOGIT = 4.3  # ends within a few seconds of speech, sampled with the default options


def toy_model_path() -> Path:
    """Path of a toy GGUF, made now if it is not there yet.

    Two processes may ask at once: each writes its own file, and the last rename wins with the same bytes.

    Raises
    ------
    ModelFileError
        Neither the cache folder nor the folder for temporary files can be written.
    """
    path = cache_folder() / f"toy-{_recipe()}.gguf"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make_toy_model(path)
    except OSError:
        # No home to write to, as in a locked-down container: keep it for this process only.
        folder = _temporary_folder()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return make_toy_model(folder / path.name)


def make_toy_model(path: Path) -> Path:
    """Write the toy model to `path`; the same bytes each time.

    Raises
    ------
    ModelFileError
        It cannot be written.
    """
    from pyomni.convert import convert
    from pyomni.convert.random_checkpoint import checkpoint_dims, write_checkpoint

    folder = _temporary_folder()
    try:
        write_checkpoint(
            folder / "toy",
            "custom_voice",
            checkpoint_dims("tiny", **SIZES),
            SEED,
            dtype="f32",
            eos_logit=EOS_LOGIT,
        )
        return convert(folder / "toy", path, "f32")
    except OSError as error:
        if isinstance(error, PyOmniError):
            raise
        raise ModelFileError(
            f"{folder}: the toy model cannot be written ({error.strerror or error})"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="pyomni-"))
    except OSError as error:
        raise ModelFileError(
            f"no folder for temporary files can be written ({error.strerror or error})"
        ) from error


def _recipe() -> str:
    """A short name for the code that makes the model: a cached file made by other code is not used."""
    digest = hashlib.sha256()
    here = Path(__file__).resolve()
    for source in [here, *sorted((here.parent / "convert").glob("*.py"))]:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
