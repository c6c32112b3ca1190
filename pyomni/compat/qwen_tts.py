"""The names of the official ``qwen_tts`` package, on a GGUF file and without torch.

    from pyomni.compat.qwen_tts import Qwen3TTSModel      # was: from qwen_tts import Qwen3TTSModel

Methods, arguments and results are those of qwen-tts 0.1.1; where that has tensors, these are numpy arrays,
and tensors are taken. What differs: a model is a file made by ``pyomni convert``; of the loading arguments
only ``device_map`` counts; a ``seed`` may be given and makes a call repeatable; without ``max_new_tokens``
the length is capped by that of the text; errors are pyomni's, ``ValueError`` where the official are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.api import SpeechModel, load
from pyomni.compat.inputs import array, clip, device, each
from pyomni.compat.tokenizer import Qwen3TTSTokenizer, TokenizerOutput
from pyomni.errors import ArgumentError
from pyomni.options import SpeechOptions
from pyomni.voices import Voice

__all__ = ["Qwen3TTSModel", "Qwen3TTSTokenizer", "TokenizerOutput", "VoiceClonePromptItem"]

F32 = npt.NDArray[np.float32]
Wavs = tuple[list[F32], int]


@dataclass
class VoiceClonePromptItem:
    """One cloned voice; `Qwen3TTSModel.create_voice_clone_prompt` makes these.

    Attributes
    ----------
    ref_code : int64 [n_frames, n_groups] or None
        The clip's codes, for cloning in context.
    ref_spk_embedding : float32 [n_embd]
        The speaker's row.
    x_vector_only_mode, icl_mode : bool
        By embedding alone, or in context.
    ref_text : str or None
        What the clip says.
    """

    ref_code: npt.NDArray[np.int64] | None
    ref_spk_embedding: F32
    x_vector_only_mode: bool
    icl_mode: bool
    ref_text: str | None = None

    def voice(self) -> Voice:
        """Return it as pyomni's voice.

        Raises
        ------
        ArgumentError
            In context without codes or text.
        """
        if not self.icl_mode:
            return Voice.clone(array(self.ref_spk_embedding))
        if self.ref_code is None or not self.ref_text:
            raise ArgumentError("icl_mode is set without ref_code or ref_text, expected both")
        return Voice.clone(array(self.ref_spk_embedding), array(self.ref_code), self.ref_text)


class Qwen3TTSModel:
    """A speech model under the official names; see `pyomni.SpeechModel` for what is behind it.

    Parameters
    ----------
    model : SpeechModel
    """

    def __init__(self, model: SpeechModel, processor: Any = None, generate_defaults: Any = None) -> None:
        self.model, self.processor = model, processor
        self.generate_defaults: dict[str, Any] = dict(generate_defaults or model.info["defaults"])
        self.device = model.info["device"]

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Qwen3TTSModel:
        """Open a GGUF file; ``device_map`` such as ``"cpu"`` or ``"cuda:0"`` counts, the rest does not.

        Raises
        ------
        As `pyomni.load`.
        """
        return cls(load(pretrained_model_name_or_path, device=device(kwargs.get("device_map"))))

    def get_supported_speakers(self) -> list[str]:
        """Return the preset speakers in lower case, sorted."""
        return sorted(self.model.speakers)

    def get_supported_languages(self) -> list[str]:
        """Return the languages in lower case, sorted, ``auto`` among them."""
        return sorted(["auto", *self.model.languages])

    def create_voice_clone_prompt(
        self, ref_audio: Any, ref_text: Any = None, x_vector_only_mode: Any = False
    ) -> list[VoiceClonePromptItem]:
        """Make voices of clips, to use more than once.

        Parameters
        ----------
        ref_audio : path, address, base64 text or (samples, sample rate), or a list of these
        ref_text : str or list, optional
            What they say; required unless `x_vector_only_mode`.
        x_vector_only_mode : bool or list
            Clone by the speaker embedding alone.

        Raises
        ------
        ArgumentError
            Not a base model, lists of different lengths, or no text where one is needed.
        AudioError
            A clip that cannot be used.
        """
        self._require("base", "create_voice_clone_prompt")
        clips = ref_audio if isinstance(ref_audio, list) else [ref_audio]
        texts = each("ref_text", ref_text, len(clips))
        alone = each("x_vector_only_mode", x_vector_only_mode, len(clips))
        items = []
        for i, (one, text, only) in enumerate(zip(clips, texts, alone, strict=True)):
            if not only and not text:
                raise ArgumentError(
                    f"ref_text is required when x_vector_only_mode=False (ICL mode). Bad index={i}"
                )
            voice = self.model.clone(clip(one), None if only else text)
            codes = None if voice.codes is None else voice.codes.astype(np.int64)
            embedding = np.array(voice.embedding, np.float32)
            items.append(VoiceClonePromptItem(codes, embedding, bool(only), not only, text))
        return items

    def generate_voice_clone(
        self,
        text: str | list[str],
        language: Any = None,
        ref_audio: Any = None,
        ref_text: Any = None,
        x_vector_only_mode: Any = False,
        voice_clone_prompt: Any = None,
        non_streaming_mode: bool = False,
        **kwargs: Any,
    ) -> Wavs:
        """Speak with the voice of a clip, or of what `create_voice_clone_prompt` made.

        Returns
        -------
        list of float32 [n], sample rate in Hz

        Raises
        ------
        ArgumentError, AudioError, ContextFull
            As `SpeechModel.speak` and `create_voice_clone_prompt`.
        """
        self._require("base", "generate_voice_clone")
        if voice_clone_prompt is None:
            if ref_audio is None:
                raise ArgumentError("Either `voice_clone_prompt` or `ref_audio` must be provided.")
            items = self.create_voice_clone_prompt(ref_audio, ref_text, x_vector_only_mode)
        else:
            items = _items(voice_clone_prompt)
        texts = _texts(text)
        voices = [item.voice() for item in each("prompt", items, len(texts))]
        return self._speak(texts, language, voices, [None] * len(texts), non_streaming_mode, kwargs)

    def generate_voice_design(
        self,
        text: str | list[str],
        instruct: str | list[str],
        language: Any = None,
        non_streaming_mode: bool = True,
        **kwargs: Any,
    ) -> Wavs:
        """Speak with a voice described in words; an empty description leaves it to the model.

        Returns and raises as `generate_voice_clone`.
        """
        self._require("voice_design", "generate_voice_design")
        texts = _texts(text)
        words = each("instruct", instruct, len(texts))
        voices = [Voice.design(one) if one and one.strip() else Voice.none() for one in words]
        return self._speak(texts, language, voices, [None] * len(texts), non_streaming_mode, kwargs)

    def generate_custom_voice(
        self,
        text: str | list[str],
        speaker: str | list[str],
        language: Any = None,
        instruct: Any = None,
        non_streaming_mode: bool = True,
        **kwargs: Any,
    ) -> Wavs:
        """Speak as a preset speaker; 0.6B models take no instruction, and one given to them is dropped.

        Returns and raises as `generate_voice_clone`.
        """
        self._require("custom_voice", "generate_custom_voice")
        texts = _texts(text)
        names = each("speaker", speaker, len(texts))
        voices = [Voice.preset(name) if name else Voice.none() for name in names]
        words = each("instruct", instruct if self.model.info["instruct"] else None, len(texts))
        return self._speak(texts, language, voices, words, non_streaming_mode, kwargs)

    def _require(self, kind: str, method: str) -> None:
        found = self.model.info["model_type"]
        if found != kind:
            raise ArgumentError(f"a {found} model does not support {method}, expected a {kind} model")

    def _speak(
        self,
        texts: list[str],
        language: Any,
        voices: Sequence[Voice],
        instructs: Sequence[str | None],
        non_streaming_mode: bool,
        kwargs: dict[str, Any],
    ) -> Wavs:
        languages = each("language", "Auto" if language is None else language, len(texts))
        if None in languages:
            known = ", ".join(self.get_supported_languages())
            raise ArgumentError(f"Unsupported languages: None among {languages}, expected {known}")
        options = self._options(non_streaming_mode, **kwargs)
        wavs = [
            self.model.speak(text, voice=voice, language=name, instruct=words or None, options=options).audio
            for text, voice, name, words in zip(texts, voices, languages, instructs, strict=True)
        ]
        return wavs, self.model.sample_rate

    def _options(
        self,
        non_streaming_mode: bool,
        *,
        do_sample: bool | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        repetition_penalty: float | None = None,
        subtalker_dosample: bool | None = None,
        subtalker_top_k: int | None = None,
        subtalker_top_p: float | None = None,
        subtalker_temperature: float | None = None,
        max_new_tokens: int | None = None,
        seed: int | None = None,
        **others: Any,  # the official model swallows whatever else there is
    ) -> SpeechOptions:
        """Return the options of a call; the id that is sampled last never becomes a frame."""
        defaults = self.generate_defaults
        return SpeechOptions(
            seed=seed,
            temperature=_temperature(do_sample, temperature, defaults["temperature"]),
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            predictor_temperature=_temperature(
                subtalker_dosample, subtalker_temperature, defaults["predictor_temperature"]
            ),
            predictor_top_k=subtalker_top_k,
            predictor_top_p=subtalker_top_p,
            max_frames=None if max_new_tokens is None else max(int(max_new_tokens) - 1, 1),
            streaming_layout=not non_streaming_mode,
            split="never",
        )


def _items(prompt: Any) -> list[VoiceClonePromptItem]:
    """Return a clone prompt as a list; the official dict has no texts, so it cannot be in context."""
    if isinstance(prompt, VoiceClonePromptItem):
        return [prompt]
    if isinstance(prompt, list):
        return prompt
    if not isinstance(prompt, Mapping):
        raise ArgumentError(f"voice_clone_prompt is a {type(prompt).__name__}, expected a list of items")
    keys = ("ref_code", "ref_spk_embedding", "x_vector_only_mode", "icl_mode")
    missing = [key for key in keys if key not in prompt]
    if missing:
        raise ArgumentError(f"voice_clone_prompt has no {missing[0]!r}, expected {', '.join(keys)}")
    texts = prompt.get("ref_text", [None] * len(prompt["ref_spk_embedding"]))
    return [VoiceClonePromptItem(*one) for one in zip(*(prompt[key] for key in keys), texts, strict=True)]


def _texts(text: str | list[str]) -> list[str]:
    return list(text) if isinstance(text, list) else [text]


def _temperature(sample: bool | None, given: float | None, default: float) -> float | None:
    """Return 0 for greedy; where sampling is asked for, a temperature, since the file may say not to."""
    if sample is None:
        return given
    if not sample:
        return 0.0
    return default if given is None else given
