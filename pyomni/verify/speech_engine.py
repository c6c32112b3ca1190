"""Our engine on the toy checkpoints of `toy_speech`, component by component."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder
from pyomni.components.lm import CODEC, DecoderLM
from pyomni.metadata import SpeechMetadata
from pyomni.options import SpeechOptions
from pyomni.pipelines import prompt as prompts
from pyomni.pipelines.speech import Request, generate
from pyomni.verify import toy_speech as cases
from pyomni.verify.folders import converted

F32 = NDArray[np.float32]
N_CTX = 256
TAPPED_WIDTH = 7

#: Taps the shim hands out as [T, C]; the others come as [C, T].
ROWS_OF_CHANNELS = ("rvq", "transformer")


def gguf(name: str, kind: str = "f32") -> Path:
    """Return the GGUF of a case, made once a process."""
    return converted(cases.folder(name), kind)


class Ours:
    """Components of one GGUF.

    Parameters
    ----------
    path : GGUF file
    n_ctx : positions of the talker
    device : two threads of the CPU where none is given
    """

    def __init__(self, path: Path, n_ctx: int = N_CTX, device: Device | None = None) -> None:
        self._device = device = device or Device("cpu", 2)
        self.path = path
        self.talker = DecoderLM(Model(device, path, "talker"), n_ctx)
        predictor = Model(device, path, "code_predictor")
        self.predictor = DecoderLM(predictor, predictor.info.n_groups + 1)
        self.meta = SpeechMetadata.read(path)
        self.tokenizer = self.meta.tokenizer()

    @functools.cached_property
    def _codec_model(self) -> Model:
        return Model(self._device, self.path, "codec_decoder")

    def codec(self) -> CodecDecoder:
        """Return a decoder with no past."""
        return CodecDecoder(self._codec_model)

    def layout(self, prompt: cases.Prompt) -> prompts.PromptLayout:
        """Lay out a prompt as `SpeechModel` does, but with its instruction whatever the model's size."""
        speaker = prompt.speaker.lower()
        return prompts.layout(
            self.meta,
            self.tokenizer,
            prompts.text_ids(self.tokenizer, prompt.text),
            language=prompts.language_id(self.meta, prompt.language, speaker or None),
            speaker=self.meta.speakers[speaker] if speaker else None,
            instruct=prompts.instruct_ids(self.tokenizer, self.meta, prompt.instruct),
            streaming=prompt.streaming,
        )

    def rows(self, prompt: cases.Prompt) -> prompts.TalkerPrompt:
        """Return a prompt's rows."""
        return prompts.build(self.layout(prompt), self.talker.embed)

    def greedy(self, prompt: cases.Prompt, n_frames: int) -> NDArray[np.int32]:
        """Return the codes of a greedy run through the product's loop, int32 [n, G]."""
        options = SpeechOptions(seed=0, greedy=True, max_frames=n_frames).resolve(
            self.meta.defaults, n_text=1, streaming_layout=prompt.streaming
        )
        events = generate(self.talker, self.predictor, [Request(self.rows(prompt), options)], self.meta)
        return np.stack([event.codes for event in events if event.codes is not None])

    def predictor_logits(self, hidden: F32, codes: Sequence[int]) -> F32:
        """Return the logits of every head, float32 [G - 1, V], teacher-forced with a frame's codes [G]."""
        self.predictor.rewind()
        rows = np.stack([hidden, self.talker.embed(CODEC, [codes[0]])[0]])  # [2, n_embd]
        out = []
        for group in range(1, len(codes)):
            out.append(self.predictor.decode(rows, head=group - 1).logits[0])
            rows = self.predictor.embed(group - 1, [codes[group]])  # the last one is not fed back
        return np.stack(out)

    def decode_tapped(self, codes: NDArray[np.integer], stages: dict[str, int]) -> tuple[F32, dict[str, F32]]:
        """Decode codes [n, G], TAPPED_WIDTH frames a call: a tap holds what the last graph of a call left.

        Parameters
        ----------
        stages : channels of each stage to tap

        Returns
        -------
        PCM float32 [n * hop], and each stage's output [C, T]
        """
        codec = self.codec()
        for stage in stages:
            codec.session.tap(stage)
        pcm: list[F32] = []
        pieces: dict[str, list[F32]] = {stage: [] for stage in stages}
        for begin in range(0, len(codes), TAPPED_WIDTH):
            pcm.append(codec.decode(codes[begin : begin + TAPPED_WIDTH]))
            for stage, n_channels in stages.items():
                flat = codec.session.read_tap(stage)
                rows = stage in ROWS_OF_CHANNELS
                pieces[stage].append(flat.reshape(-1, n_channels).T if rows else flat.reshape(n_channels, -1))
        codec.close()
        return np.concatenate(pcm), {stage: np.concatenate(some, 1) for stage, some in pieces.items()}
