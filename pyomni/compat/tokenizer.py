"""The official tokenizer's names: the codec alone, audio to codes and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.api import SpeechModel, model_path
from pyomni.compat.inputs import array, device, samples
from pyomni.errors import ArgumentError

__all__ = ["Qwen3TTSTokenizer", "TokenizerOutput"]

F32 = npt.NDArray[np.float32]


@dataclass
class TokenizerOutput:
    """What `Qwen3TTSTokenizer.encode` gives: ``audio_codes``, int64 [n_frames, n_groups] for each clip."""

    audio_codes: list[npt.NDArray[np.int64]]


class Qwen3TTSTokenizer:
    """The codec alone, under the official names: audio to codes and back."""

    def __init__(self) -> None:
        self._model: SpeechModel | None = None

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Qwen3TTSTokenizer:
        """Open the codec of a GGUF file; arguments and exceptions as `Qwen3TTSModel.from_pretrained`."""
        made = cls()
        made._model = SpeechModel(
            model_path(pretrained_model_name_or_path),
            device=device(kwargs.get("device_map")),
            components=("codec_decoder",),
        )
        return made

    @property
    def model(self) -> SpeechModel:
        """The model behind it.

        Raises
        ------
        ArgumentError
            `from_pretrained` was not called.
        """
        if self._model is None:
            raise ArgumentError("the tokenizer has no model, expected one from from_pretrained")
        return self._model

    def encode(self, audios: Any, sr: int | None = None, return_dict: bool = True) -> Any:
        """Encode clips to codes.

        Parameters
        ----------
        audios : path, address, base64 text or float array [n], or a list of one kind
        sr : int, optional
            Sample rate of arrays, Hz.
        return_dict : bool
            False gives a tuple in place of `TokenizerOutput`.

        Raises
        ------
        ArgumentError
            Arrays without `sr`.
        AudioError
            A clip that cannot be read.
        """
        codes = []
        for one in audios if isinstance(audios, list) else [audios]:
            if not isinstance(one, (str, os.PathLike)) and sr is None:
                raise ArgumentError(
                    "For numpy waveform input, you must provide `sr` (original sampling rate)."
                )
            pcm, rate = samples(one if isinstance(one, (str, os.PathLike)) else (one, sr))
            codes.append(self.model.encode(pcm, rate).astype(np.int64))
        return TokenizerOutput(codes) if return_dict else (codes,)

    def decode(self, encoded: Any) -> tuple[list[F32], int]:
        """Decode what `encode` gave, a dict with ``audio_codes``, or a list of such dicts.

        Codes padded with -1 are cut there.

        Returns
        -------
        list of float32 [n], sample rate in Hz

        Raises
        ------
        ArgumentError
            Something else, or codes of another shape.
        """
        wavs = [self.model.decode(codes) for codes in _codes(encoded)]
        return wavs, self.model.sample_rate

    def get_model_type(self) -> str:
        """Return the official name of this codec."""
        return "qwen3_tts_tokenizer_12hz"

    def get_input_sample_rate(self) -> int:
        """Return the rate `encode` brings audio to, Hz."""
        return self.model.sample_rate

    def get_output_sample_rate(self) -> int:
        """Return the rate of decoded audio, Hz."""
        return self.model.sample_rate

    def get_encode_downsample_rate(self) -> int:
        """Return the samples that become a frame."""
        return self.model.hop

    def get_decode_upsample_rate(self) -> int:
        """Return the samples a frame becomes."""
        return self.model.hop


def _codes(encoded: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield the codes of each clip, int [n_frames, n_groups], without padding."""
    if hasattr(encoded, "audio_codes"):
        given = encoded.audio_codes
    elif isinstance(encoded, Mapping):
        given = encoded["audio_codes"]
    elif isinstance(encoded, list) and all(isinstance(one, Mapping) for one in encoded):
        given = [one["audio_codes"] for one in encoded]
    else:
        raise ArgumentError("`encoded` must be an encode output, a dict, or a list of dicts.")
    if not isinstance(given, (list, tuple)):
        whole = array(given)
        given = [whole] if whole.ndim == 2 else list(whole)
    for one in given:
        codes = array(one)
        yield codes[: int((codes[:, 0] >= 0).sum())] if codes.ndim == 2 else codes
