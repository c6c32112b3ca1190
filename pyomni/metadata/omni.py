"""An Omni model's headers as Python needs them, from all the files it lies in, in one checked value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.errors import ModelFileError, ModelFormatError, PyOmniError, UnsupportedModel
from pyomni.metadata.header import Metadata
from pyomni.metadata.omni_speech import SpeechSide, read_speech_side
from pyomni.metadata.vocabulary import read_token_texts, read_tokenizer
from pyomni.siblings import SIBLINGS, main_path, sibling_path

if TYPE_CHECKING:
    from pyomni.text.detokenizer import TokenTexts
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["ARCHITECTURE", "MediaIds", "OmniMetadata"]

ARCHITECTURE, FORMAT_VERSION = "qwen3-omni", 1
NEEDS = {"media": "to hear and see", "speech": "to speak"}


@dataclass(frozen=True)
class MediaIds:
    """Tokens in the place of media rows, and around them."""

    audio: int
    image: int
    video: int
    audio_start: int
    audio_end: int
    vision_start: int
    vision_end: int


@dataclass(frozen=True)
class OmniMetadata:
    """What prompts, samplers and commands need to know about an Omni model.

    Attributes
    ----------
    meta : header of the main file, which holds the thinker
    headers : component to the header of the file that holds it, for every one that is there
    problems : sibling (``"media"``, ``"speech"``) to what is wrong with it, for those that cannot be used
    chat_template : Jinja text
    im_start_id, im_end_id, system_id, user_id, assistant_id : tokens of the chat frame
    text_pad_id, text_bos_id, text_eos_id : tokens beside speech; -1 where the vocabulary has none
    media : tokens of media; None where the vocabulary has none
    stop_ids : tokens that end an answer
    n_tokens : ids from here on have no token, up to `n_vocab`
    n_vocab, n_embd, n_ctx_max : of the thinker
    speaks : whether the checkpoint has a talker, in whichever file; False in a file made for llama.cpp
    positions_per_second : places on the time axis that a second of film takes; 0 in a file made for llama.cpp
    defaults : the `omni.default.*` values without that prefix
    """

    meta: Metadata = field(repr=False)
    headers: Mapping[str, Metadata] = field(repr=False)
    problems: Mapping[str, PyOmniError] = field(repr=False)
    chat_template: str = field(repr=False)
    im_start_id: int
    im_end_id: int
    system_id: int
    user_id: int
    assistant_id: int
    text_pad_id: int
    text_bos_id: int
    text_eos_id: int
    media: MediaIds | None
    stop_ids: tuple[int, ...]
    n_tokens: int
    n_vocab: int
    n_embd: int
    n_ctx_max: int
    speaks: bool
    positions_per_second: int
    defaults: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> OmniMetadata:
        """Read the main file made by `pyomni convert`, and what lies beside it.

        A sibling that is missing, damaged or of another checkpoint is no error here: `require` says so.

        Raises
        ------
        ModelFileError, ModelFormatError
            As `Metadata.read`, of the main file; also where `path` is a sibling.
        UnsupportedModel
            A GGUF of another architecture, or one newer than this version of pyomni.
        """
        m = Metadata.read(path)
        _check_own(m)
        components = m.strings("pyomni.components")
        if "thinker" not in components:
            main = main_path(m.path)
            hint = f", expected {main.name}" if main != m.path else ", expected the file of the thinker"
            raise ModelFileError(f"{m.path}: holds {', '.join(components) or 'nothing'}{hint}")
        speaks = m.u32("thinker.accept_layer") > 0
        looked_for = [sibling for sibling in SIBLINGS if speaks or sibling != "speech"]
        headers, problems = _beside(m, dict.fromkeys(components, m), looked_for)
        text, own = "tts.text.", "omni.text."
        sampling: dict[str, Any] = {"do_sample": m.bool("omni.default.do_sample")}
        sampling |= {n: m.f32(f"omni.default.{n}") for n in ("temperature", "top_p", "repetition_penalty")}
        sampling |= {n: m.u32(f"omni.default.{n}") for n in ("top_k", "max_new_tokens")}
        return cls(
            meta=m,
            headers=headers,
            problems=problems,
            chat_template=m.str("tokenizer.chat_template"),
            im_start_id=m.u32(text + "im_start_id"),
            im_end_id=m.u32(text + "im_end_id"),
            system_id=m.u32(own + "system_id"),
            user_id=m.u32(own + "user_id"),
            assistant_id=m.u32(text + "assistant_id"),
            text_pad_id=m.u32(text + "pad_id"),
            text_bos_id=m.u32(text + "bos_id"),
            text_eos_id=m.u32(text + "eos_id"),
            media=MediaIds(**{name: m.u32(f"{own}{name}_id") for name in MediaIds.__dataclass_fields__}),
            stop_ids=tuple(m.ints(own + "stop_ids")),
            n_tokens=m.u32(own + "n_tokens"),
            n_vocab=m.u32("thinker.n_vocab"),
            n_embd=m.u32("thinker.n_embd"),
            n_ctx_max=m.u32("thinker.n_ctx_max"),
            speaks=speaks,
            positions_per_second=m.u32("omni.position_id_per_seconds"),
            defaults=sampling,
        )

    @property
    def path(self) -> Path:
        """The main file."""
        return self.meta.path

    @property
    def components(self) -> tuple[str, ...]:
        """Components that are there, in whichever file."""
        return tuple(self.headers)

    @property
    def where(self) -> dict[str, Path]:
        """Component to the file that holds it."""
        return {name: header.path for name, header in self.headers.items()}

    def require(self, *components: str) -> None:
        """Raise an error that says what to do about a component that is not there.

        Raises
        ------
        ModelFileError
            The file that should hold it is not there.
        ModelFormatError
            It is damaged, or was made from another checkpoint.
        UnsupportedModel
            This checkpoint never had it.
        """
        for name in components:
            if name in self.headers:
                continue
            sibling = next((s for s, held in SIBLINGS.items() if name in held), "")
            if sibling in self.problems:
                raise self.problems[sibling]
            if sibling == "speech" and not self.speaks:
                raise UnsupportedModel(f"{self.path}: this model writes and does not speak, it has no {name}")
            raise UnsupportedModel(
                f"{self.path}: component {name} is not there (found: {', '.join(self.headers)})"
            )

    @cached_property
    def speech(self) -> SpeechSide:
        """What the speech file says.

        Raises
        ------
        As `require`; ModelFormatError where keys are missing or do not fit together.
        """
        self.require("talker", "code_predictor", "code2wav")
        ids = (self.im_start_id, self.user_id, self.text_pad_id, self.text_bos_id, self.text_eos_id)
        return read_speech_side(self.headers["talker"], self.headers["code2wav"], ids)

    def tokenizer(self) -> Tokenizer:
        """Build the text tokenizer; raises ModelFormatError where the vocabulary does not fit together."""
        return read_tokenizer(self.meta)

    def token_texts(self) -> TokenTexts:
        """Return what each token stands for; raises as `tokenizer`."""
        return read_token_texts(self.meta)

    def summary(self) -> dict[str, Any]:
        """What is in the files, as plain values ready for JSON; sizes in bytes."""
        files = list({header.path: header for header in self.headers.values()}.values())
        tensors = [tensor for header in files for tensor in header.tensors]
        sizes = dict.fromkeys(self.components, 0)
        types: dict[str, int] = {}
        for tensor in tensors:
            component = tensor.name.partition(".")[0]
            component = component if component in sizes else "thinker"
            sizes[component] += tensor.n_bytes
            types[tensor.type] = types.get(tensor.type, 0) + 1
        found: dict[str, Any] = {
            "file": str(self.path),
            "architecture": self.meta.str("general.architecture"),
            "name": self.meta.get("general.name", ""),
            "type": self.meta.get("pyomni.type", ""),
            "bytes": sum(sizes.values()),
            "files": [str(header.path) for header in files],
            "missing": {name: str(error) for name, error in self.problems.items()},
            "components": sizes,
            "tensors": types,
            "parameters": sum(prod(tensor.shape) for tensor in tensors),
            "n_ctx_max": self.n_ctx_max,
            "n_vocab": self.n_vocab,
            "hears": "audio_encoder" in self.headers,
            "sees": "vision_encoder" in self.headers,
            "defaults": _rounded(self.defaults),
        }
        if "talker" in self.headers:
            side = self.speech
            found |= {
                "sample_rate": side.sample_rate,
                "frames_per_second": side.sample_rate / side.hop,
                "n_groups": side.n_groups,
                "speakers": list(side.speakers),
                "speech_defaults": _rounded(side.defaults),
            }
        return found


def _check_own(m: Metadata) -> None:
    found = m.str("general.architecture")
    if found != ARCHITECTURE:
        raise UnsupportedModel(f"{m.path}: general.architecture is {found!r}, expected {ARCHITECTURE!r}")
    version = m.u32("pyomni.format_version")
    if version > FORMAT_VERSION:
        raise UnsupportedModel(
            f"{m.path}: pyomni.format_version is {version}, expected {FORMAT_VERSION} or less: the file was "
            "made by a newer pyomni"
        )


def _beside(
    m: Metadata, held: dict[str, Metadata], siblings: Sequence[str]
) -> tuple[dict[str, Metadata], dict[str, PyOmniError]]:
    """Headers by component, those of the siblings too, and what is wrong with siblings."""
    problems: dict[str, PyOmniError] = {}
    for sibling in siblings:
        if all(name in held for name in SIBLINGS[sibling]):
            continue
        path = sibling_path(m.path, sibling)
        if not path.is_file():
            problems[sibling] = ModelFileError(
                f"{path}: not found, expected beside {m.path.name} {NEEDS[sibling]}; `pyomni convert` "
                "writes it"
            )
            continue
        try:
            other = Metadata.read(path)
            _check_own(other)
            mine, theirs = m.str("pyomni.checkpoint"), other.str("pyomni.checkpoint")
            if mine != theirs:
                raise ModelFormatError(
                    f"{path}: made from checkpoint {theirs}, expected {mine}, that of {m.path.name}"
                )
            held |= dict.fromkeys(other.strings("pyomni.components"), other)
        except PyOmniError as error:
            problems[sibling] = error
    return held, problems


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}
