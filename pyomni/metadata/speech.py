"""A speech model's header as Python needs it: ids, voices, languages and defaults in one checked value."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyomni.errors import ModelFormatError, UnsupportedModel
from pyomni.metadata.header import Metadata
from pyomni.metadata.vocabulary import read_tokenizer

if TYPE_CHECKING:
    from pyomni.text.tokenizer import Tokenizer

__all__ = ["ARCHITECTURE", "SpeechMetadata"]

ARCHITECTURE, FORMAT_VERSION = "qwen3-tts", 1


@dataclass(frozen=True)
class SpeechMetadata:
    """What prompts, samplers and commands need to know about a speech model.

    Attributes
    ----------
    meta : the whole header
    components : networks in the file
    languages, speakers : name in lower case to codec id; languages hold dialects as well
    dialects : speaker to the dialect it speaks, for those that speak one
    suppress : codec ids ``begin <= id < end`` that are never sampled, `codec_eos_id` excepted
    defaults : the `tts.default.*` values without that prefix
    n_groups, n_ctx_max : code groups of a frame; positions the talker was made for, 0 without one
    n_embd, n_codes : width of the talker's rows; codes per group; 0 without those networks
    sample_rate, hop : of the codec, 0 without one
    """

    meta: Metadata = field(repr=False)
    components: tuple[str, ...]
    model_type: str
    model_size: str
    im_start_id: int
    im_end_id: int
    assistant_id: int
    text_pad_id: int
    text_bos_id: int
    text_eos_id: int
    codec_pad_id: int
    codec_bos_id: int
    codec_eos_id: int
    codec_think_id: int
    codec_nothink_id: int
    codec_think_bos_id: int
    codec_think_eos_id: int
    suppress: tuple[int, int]
    languages: dict[str, int]
    speakers: dict[str, int]
    dialects: dict[str, str]
    streaming_layout: bool
    instruct: bool
    defaults: dict[str, Any]
    n_groups: int
    n_ctx_max: int
    n_embd: int
    n_codes: int
    sample_rate: int
    hop: int

    @classmethod
    def read(cls, path: str | Path) -> SpeechMetadata:
        """Read a file made by `pyomni convert`.

        Raises
        ------
        ModelFileError, ModelFormatError
            As `Metadata.read`; also where keys are missing or do not fit together.
        UnsupportedModel
            A GGUF of another architecture, or one newer than this version of pyomni.
        """
        m = Metadata.read(path)
        found = m.str("general.architecture")
        if found != ARCHITECTURE:
            raise UnsupportedModel(f"{m.path}: general.architecture is {found!r}, expected {ARCHITECTURE!r}")
        version = m.u32("pyomni.format_version")
        if version > FORMAT_VERSION:
            raise UnsupportedModel(
                f"{m.path}: pyomni.format_version is {version}, expected {FORMAT_VERSION} or less: the "
                "file was made by a newer pyomni"
            )
        components = tuple(m.strings("pyomni.components"))
        lm, codec = "talker" in components, "codec_decoder" in components
        suppress = m.ints("tts.suppress")
        if len(suppress) != 2:
            raise ModelFormatError(
                f"{m.path}: key 'tts.suppress' has {len(suppress)} numbers, expected begin and end"
            )
        speakers = _table(m, "tts.speakers", "ids", m.ints("tts.speakers.ids"))
        dialects = _table(m, "tts.speakers", "dialects", m.strings("tts.speakers.dialects"))
        languages = _table(m, "tts.languages", "ids", m.ints("tts.languages.ids"))
        spoken = {name: dialect for name, dialect in dialects.items() if dialect}
        for name, dialect in spoken.items():
            if dialect not in languages:
                raise ModelFormatError(
                    f"{m.path}: speaker {name!r} speaks {dialect!r}, expected a language of the file"
                )
        text, ids, prefix = "tts.text.", "tts.codec.", "tts.default."
        return cls(
            meta=m,
            components=components,
            model_type=m.str("tts.model_type"),
            model_size=m.str("tts.model_size"),
            im_start_id=m.u32(text + "im_start_id"),
            im_end_id=m.u32(text + "im_end_id"),
            assistant_id=m.u32(text + "assistant_id"),
            text_pad_id=m.u32(text + "pad_id"),
            text_bos_id=m.u32(text + "bos_id"),
            text_eos_id=m.u32(text + "eos_id"),
            codec_pad_id=m.u32(ids + "pad_id"),
            codec_bos_id=m.u32(ids + "bos_id"),
            codec_eos_id=m.u32(ids + "eos_id"),
            codec_think_id=m.u32(ids + "think_id"),
            codec_nothink_id=m.u32(ids + "nothink_id"),
            codec_think_bos_id=m.u32(ids + "think_bos_id"),
            codec_think_eos_id=m.u32(ids + "think_eos_id"),
            suppress=(suppress[0], suppress[1]),
            languages=languages,
            speakers=speakers,
            dialects=spoken,
            streaming_layout=m.bool("tts.streaming_layout"),
            instruct=m.bool("tts.instruct"),
            defaults={
                **{name: m.bool(prefix + name) for name in ("do_sample", "predictor_do_sample")},
                **{
                    name: m.f32(prefix + name)
                    for name in (
                        "temperature",
                        "top_p",
                        "repetition_penalty",
                        "predictor_temperature",
                        "predictor_top_p",
                    )
                },
                **{
                    name: m.u32(prefix + name)
                    for name in ("top_k", "predictor_top_k", "max_new_tokens", "min_new_tokens")
                },
            },
            n_groups=m.u32("talker.n_groups" if lm else "codec_decoder.n_groups"),
            n_ctx_max=m.u32("talker.n_ctx_max") if lm else 0,
            n_embd=m.u32("talker.n_embd") if lm else 0,
            n_codes=m.u32("code_predictor.n_vocab") if "code_predictor" in components else 0,
            sample_rate=m.u32("codec_decoder.sample_rate") if codec else 0,
            hop=m.u32("codec_decoder.hop") if codec else 0,
        )

    def tokenizer(self) -> Tokenizer:
        """Build the text tokenizer from the file's vocabulary.

        Raises
        ------
        ModelFormatError
            The vocabulary does not fit together.
        """
        return read_tokenizer(self.meta)

    def summary(self) -> dict[str, Any]:
        """What is in the file, as plain values ready for JSON; sizes in bytes."""
        sizes = dict.fromkeys(self.components, 0)
        types: dict[str, int] = {}
        for tensor in self.meta.tensors:
            component = tensor.name.partition(".")[0]
            sizes[component] = sizes.get(component, 0) + tensor.n_bytes
            types[tensor.type] = types.get(tensor.type, 0) + 1
        return {
            "file": str(self.meta.path),
            "architecture": ARCHITECTURE,
            "name": self.meta.get("general.name", ""),
            "model_type": self.model_type,
            "model_size": self.model_size,
            "type": self.meta.str("pyomni.type"),
            "bytes": sum(sizes.values()),
            "components": sizes,
            "tensors": types,
            "parameters": sum(prod(tensor.shape) for tensor in self.meta.tensors),
            "sample_rate": self.sample_rate,
            "frames_per_second": self.sample_rate / self.hop if self.hop else 0.0,
            "n_groups": self.n_groups,
            "n_ctx_max": self.n_ctx_max,
            "speakers": list(self.speakers),
            "languages": list(self.languages),
            "dialects": self.dialects,
            "instruct": self.instruct,
            "streaming_layout": self.streaming_layout,
            "defaults": {
                name: round(v, 6) if isinstance(v, float) else v for name, v in self.defaults.items()
            },
        }


def _table(m: Metadata, prefix: str, leaf: str, values: list[Any]) -> dict[str, Any]:
    names = m.strings(f"{prefix}.names")
    if len(values) != len(names) or len(set(names)) != len(names):
        raise ModelFormatError(
            f"{m.path}: key '{prefix}.{leaf}' has {len(values)} entries, expected one for each of the "
            f"{len(names)} different names"
        )
    return dict(zip(names, values, strict=True))
