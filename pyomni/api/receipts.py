"""Receipts of what a model makes: facts of the model once, those of a request when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni import __version__
from pyomni.digests import short_key
from pyomni.errors import ModelFileError, ModelFormatError
from pyomni.metadata import fingerprint
from pyomni.options import SpeechOptions
from pyomni.pipelines.keep import file_identity
from pyomni.receipt import Issue, Receipt, codes_hash, options_dict, words_hash
from pyomni.voices import Voice

__all__ = ["Issuer"]


class Issuer:
    """Issues the receipts of one open model.

    Parameters
    ----------
    paths : files of the model, the main one first
    kind : type of their matrices
    device : what it runs on
    """

    def __init__(self, paths: list[Path], kind: str, device: str) -> None:
        self._files: Mapping[Path, str] = {path: file_identity(path) for path in paths}
        self._kind, self._device = kind, device
        self._hash: str | None = None

    def model_hash(self) -> str:
        """Return the fingerprint of the files, taken on the first call; empty if they are others by now."""
        if self._hash is None:
            try:
                same = all(file_identity(path) == identity for path, identity in self._files.items())
                marks = [fingerprint(path) for path in self._files] if same else []
            except (OSError, ModelFileError, ModelFormatError):
                marks = []
            self._hash = marks[0] if len(marks) == 1 else short_key(*marks) if marks else ""
        return self._hash

    def of(
        self,
        seed: int,
        voice: Voice,
        options: SpeechOptions,
        *,
        text: str | None = None,
        language: str | None = None,
        instruct: str | None = None,
    ) -> Issue:
        """Return what makes the receipt of a request once its codes are there.

        Parameters
        ----------
        seed : the one that was drawn or given
        voice, options, language, instruct : of the request
        text : what was said, where it is known in one
        """
        description = voice.description or None
        words = "" if text is None else words_hash(text, instruct, description)
        asked = options_dict(options)

        def issue(codes: npt.NDArray[np.int32], finish_reason: str) -> Receipt:
            return Receipt(
                **self._where(),
                seed=seed,
                voice=voice.kind,
                voice_name=voice.name,
                voice_hash=voice.digest[:32],
                language=(language or "auto").strip().lower(),
                frames=len(codes),
                codes_hash=codes_hash(codes),
                finish_reason=finish_reason,
                words_hash=words,
                options=asked,
                text=text,
                instruct=instruct or None,
                description=description,
            )

        return issue

    def again(self, saved: Receipt | None, seed: int) -> Issue | None:
        """Return what makes the receipt of a saved speech that is gone on with; None where it had none.

        Parameters
        ----------
        saved : of what was made before
        seed : of what follows. Another than before cannot be said again from the words: no hash names them.
        """
        if saved is None:
            return None
        words = saved.words_hash if seed == saved.seed else ""

        def issue(codes: npt.NDArray[np.int32], finish_reason: str) -> Receipt:
            return replace(
                saved,
                **self._where(),
                seed=seed,
                words_hash=words,
                frames=len(codes),
                codes_hash=codes_hash(codes),
                finish_reason=finish_reason,
            )

        return issue

    def _where(self) -> dict[str, Any]:
        """What a receipt says of the model, the machine and us."""
        return {
            "model": next(iter(self._files)).name,
            "model_hash": self.model_hash(),
            "type": self._kind,
            "device": self._device,
            "version": __version__,
        }
