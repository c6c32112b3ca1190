"""The weights of an open model, and sessions on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pyomni.errors import ArgumentError, PrecisionWarning, UnsupportedModel

if TYPE_CHECKING:
    from pyomni._binding import Device, Model
    from pyomni.components.codec import CodecDecoder, CodecEncoder
    from pyomni.components.encoder import Encoder
    from pyomni.components.lm import DecoderLM
    from pyomni.components.vision import VisionEncoder

__all__ = ["PRECISIONS", "Weights"]

#: What `precision` may be: float32 throughout, or bfloat16 products in the codec decoder.
PRECISIONS = ("exact", "fast")

#: Components that have a fast way: what turns codes into sound, and nothing that decides on codes.
SOUNDING = ("codec_decoder", "code2wav")


class Weights:
    """A device and the components of one model on it.

    Parameters
    ----------
    where : components to the GGUF files that hold them
    device, threads : as `pyomni.load`
    components : loaded at once, where they are there; the others when they are first asked for
    kv : type of the KV caches of the long language models
    experts : where the matrices of experts are, ``device`` or ``cpu``
    packed : whether matrices the CPU works on are rearranged in memory for its kernels
    precision : of what turns codes into sound, ``exact`` or ``fast``; where the CPU has no fast way a
        `PrecisionWarning` says so
    lanes : speeches made together at most, by which what turns codes into sound may work beside the rest
        (`pyomni.machine.codec_threads`); None: it does not

    Attributes
    ----------
    device : Device
        Of all components, but for the codec decoder where it works beside them.
    codec_threads : int
        How many of the device's threads the codec decoder has while both work.
    beside : Beside or None
        Where it works, if that is beside them.
    """

    def __init__(
        self,
        where: Mapping[str, Path],
        device: str,
        threads: int | None,
        components: Sequence[str],
        *,
        kv: str = "f32",
        experts: str = "device",
        packed: bool = False,
        precision: str = "exact",
        lanes: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ArgumentError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        # the compiled module loads here, so that `import pyomni` and `--help` are quick
        from pyomni._binding import Device
        from pyomni.machine import codec_threads, open_device
        from pyomni.pipelines.beside import Beside

        #: Called with each language model that is opened and its component's name; what it returns is used.
        self.watch: Callable[[str, DecoderLM], DecoderLM] | None = None
        self._where, self._closed = dict(where), False
        self._kv, self._experts, self._packed = kv, experts, packed
        self.precision = precision  # what was asked for, until a component says what runs
        self.beside: Beside | None
        self._models: dict[str, Model] = {}
        with ExitStack() as opened:  # a failure half way frees what was opened
            self.device: Device = opened.enter_context(open_device(device, threads))
            self._sounding, self.beside, n_threads = self.device, None, self.device.n_threads
            self.codec_threads = 0
            if lanes is not None:
                n_bytes = sum(path.stat().st_size for path in self.files())
                self.codec_threads = codec_threads(self.device.name, n_threads, n_bytes, lanes)
            if self.codec_threads:
                self._sounding = opened.enter_context(Device(self.device.name, n_threads))
                self.beside = Beside(partial(_share, self.device, self._sounding, self.codec_threads))
                opened.callback(self.beside.close)
            self._opened = opened
            for name in components:
                if name in where:
                    self.model(name)
            self._opened = opened.pop_all()

    def model(self, name: str) -> Model:
        """Return the weights of a component.

        Raises
        ------
        UnsupportedModel
            No file has it, or the model was closed.
        """
        from pyomni._binding import Model

        if name not in self._models:
            if self._closed or name not in self._where:
                found = "closed" if self._closed else ", ".join(self._where) or "none"
                raise UnsupportedModel(
                    f"the component {name} is not there (found: {found}), expected an open model that has it"
                )
            fast = self.precision == "fast" and name in SOUNDING
            self._models[name] = Model(
                self._sounding if name in SOUNDING else self.device,
                str(self._where[name]),
                name,
                experts=self._experts,
                packed=self._packed,
                fast=fast,
            )
            self._opened.callback(self._models[name].close)
            if fast and not self._models[name].info.fast:
                self.precision = "exact"
                warnings.warn(
                    f"precision 'fast' was asked for, but {self.device.name} here multiplies no bfloat16: "
                    "running exact",
                    PrecisionWarning,
                    stacklevel=2,
                )
        return self._models[name]

    def has(self, name: str) -> bool:
        """Return whether a file holds a component."""
        return name in self._where

    def files(self) -> list[Path]:
        """Return the files the components are in."""
        return list(dict.fromkeys(self._where.values()))

    def open_lm(self, name: str, n_ctx: int, n_lanes: int) -> DecoderLM:
        """Open a session of ``thinker``, ``talker`` or ``code_predictor``."""
        from pyomni.components.lm import DecoderLM

        # a code predictor forgets every frame: there is nothing to save
        kv = "f32" if name == "code_predictor" else self._kv
        opened = DecoderLM(self.model(name), n_ctx, n_lanes, kv)
        if self.watch is None:
            return opened
        opened.joins = False  # its rows are to be seen
        return self.watch(name, opened)

    def open_codec_decoder(self, name: str = "codec_decoder") -> CodecDecoder:
        """Open a session of ``codec_decoder``, or of ``code2wav``, with one lane."""
        from pyomni.components.codec import CodecDecoder

        return CodecDecoder(self.model(name), 1)

    def open_codec_encoder(self) -> CodecEncoder:
        """Open a session of ``codec_encoder``."""
        from pyomni.components.codec import CodecEncoder

        return CodecEncoder(self.model("codec_encoder"))

    def open_speaker_encoder(self) -> Encoder:
        """Open a session of ``speaker_encoder``."""
        from pyomni.components.encoder import Encoder

        return Encoder(self.model("speaker_encoder"))

    def open_audio_encoder(self) -> Encoder:
        """Open a session of ``audio_encoder``."""
        from pyomni.components.encoder import Encoder

        return Encoder(self.model("audio_encoder"))

    def open_vision_encoder(self) -> VisionEncoder:
        """Open a session of ``vision_encoder``."""
        from pyomni.components.vision import VisionEncoder

        return VisionEncoder(self.model("vision_encoder"))

    def n_bytes(self) -> dict[str, int]:
        """Return the bytes of each component that was loaded."""
        return {name: int(model.info.n_bytes) for name, model in self._models.items()}

    def close(self) -> None:
        """Free weights and device; calling it again does nothing."""
        self._closed = True
        self._opened.close()
        self._models.clear()


def _share(others: Device, codec: Device, n: int, both: bool) -> None:
    """Leave the codec n threads while both work, the others the rest; whoever works alone has all of them."""
    others.limit(max(others.n_threads - n, 1) if both else 0)
    codec.limit(n if both else 0)
