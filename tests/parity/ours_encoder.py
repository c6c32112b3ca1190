"""Our codec encoder on the toy models of `encoder_cases.py`: converted to float32, on the CPU."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from parity import encoder_cases
from parity.ours import convert_folder

from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder, CodecEncoder


class OursEncoder:
    """Encoder, and decoder, of one case.

    Parameters
    ----------
    name : case of `encoder_cases.ENCODERS`
    """

    def __init__(self, name: str) -> None:
        self.path = convert_folder(encoder_cases.folder(name))
        self._device = Device("cpu", 2)
        self._encoder = Model(self._device, self.path, "codec_encoder")
        self.n_embd = self._encoder.info.n_embd

    def encode(self, samples: NDArray) -> NDArray[np.int32]:
        """Return a clip's codes [F, G] as a user gets them, from an encoder that did nothing before."""
        encoder = CodecEncoder(self._encoder)
        try:
            return encoder.encode(samples)
        finally:
            encoder.close()

    def tapped(self, samples: NDArray) -> tuple[NDArray[np.int32], dict[str, NDArray[np.float32]]]:
        """Return a clip's codes [F, G] and its hidden rows, each [n, n_embd]."""
        encoder = CodecEncoder(self._encoder)
        try:
            encoder.encode(samples)  # opens a session that is long enough, and leaves its state
            for tap in encoder_cases.TAPS:
                encoder.session.tap(tap)
            codes = encoder.encode(samples)
            taps = {tap: encoder.session.read_tap(tap).reshape(-1, self.n_embd) for tap in encoder_cases.TAPS}
        finally:
            encoder.close()
        return codes, taps

    @functools.cached_property
    def _decoder(self) -> Model:
        return Model(self._device, self.path, "codec_decoder")

    def decode(self, codes: NDArray) -> NDArray[np.float32]:
        """Decode codes [F, G] to float32 [F * hop]."""
        decoder = CodecDecoder(self._decoder)
        try:
            return decoder.decode(codes)
        finally:
            decoder.close()
