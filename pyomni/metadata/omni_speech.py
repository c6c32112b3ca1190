"""What the speech file of an Omni model says: the talker's ids, voices and sampling defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyomni.errors import ModelFormatError
from pyomni.metadata.header import Metadata

__all__ = ["BridgeIds", "SpeechSide", "read_speech_side"]

FLAGS = ("do_sample", "predictor_do_sample")
REALS = ("temperature", "top_p", "repetition_penalty", "predictor_temperature", "predictor_top_p")
COUNTS = ("top_k", "predictor_top_k", "max_new_tokens", "min_new_tokens")


@dataclass(frozen=True)
class BridgeIds:
    """Tokens and codes that the talker's prompt is made of.

    Attributes
    ----------
    im_start, user : tokens that begin a turn, and a user's
    text_pad, text_bos, text_eos : tokens beside speech: after the text, where it begins, where it ends
    codec_pad, codec_bos, codec_nothink, codec_think_bos, codec_think_eos : codes of the talker's own table
    """

    im_start: int
    user: int
    text_pad: int
    text_bos: int
    text_eos: int
    codec_pad: int
    codec_bos: int
    codec_nothink: int
    codec_think_bos: int
    codec_think_eos: int


@dataclass(frozen=True)
class SpeechSide:
    """What the speech file says.

    Attributes
    ----------
    bridge : ids of the talker's prompt
    codec_eos : code that ends speech
    suppress : codes ``begin <= id < end`` that are never sampled, `codec_eos` excepted
    speakers : name in lower case to code
    default_speaker : the one that speaks where none is asked for, "" where there are none
    defaults : the `tts.default.*` values without that prefix
    n_groups, n_codes, n_ctx_max, n_embd : groups of a frame, codes of a group; of the talker
    sample_rate, hop : of code2wav
    """

    bridge: BridgeIds
    codec_eos: int
    suppress: tuple[int, int]
    speakers: dict[str, int]
    default_speaker: str
    defaults: dict[str, Any]
    n_groups: int
    n_codes: int
    n_ctx_max: int
    n_embd: int
    sample_rate: int
    hop: int


def read_speech_side(m: Metadata, wave: Metadata, text_ids: tuple[int, int, int, int, int]) -> SpeechSide:
    """Read the headers of talker and code2wav.

    Parameters
    ----------
    m : header of the file with talker and code predictor
    wave : header of the file with code2wav
    text_ids : the first five of `BridgeIds`

    Raises
    ------
    ModelFormatError
        Keys are missing or do not fit together.
    """
    codec, d = "tts.codec.", "tts.default."
    suppress, names, ids = m.ints("tts.suppress"), m.strings("tts.speakers.names"), m.ints("tts.speakers.ids")
    if len(suppress) != 2:
        raise ModelFormatError(f"{m.path}: key 'tts.suppress' has {len(suppress)} numbers, expected 2")
    if len(names) != len(ids) or len(set(names)) != len(names):
        raise ModelFormatError(
            f"{m.path}: key 'tts.speakers.ids' has {len(ids)} entries, expected one for each of the "
            f"{len(names)} different names"
        )
    speaker = m.str(d + "speaker")
    if speaker and speaker not in names:
        raise ModelFormatError(f"{m.path}: key '{d}speaker' is {speaker!r}, expected one of the speakers")
    return SpeechSide(
        bridge=BridgeIds(
            *text_ids,
            *(m.u32(f"{codec}{name}_id") for name in ("pad", "bos", "nothink", "think_bos", "think_eos")),
        ),
        codec_eos=m.u32(codec + "eos_id"),
        suppress=(suppress[0], suppress[1]),
        speakers=dict(zip(names, ids, strict=True)),
        default_speaker=speaker,
        defaults={
            **{name: m.bool(d + name) for name in FLAGS},
            **{name: m.f32(d + name) for name in REALS},
            **{name: m.u32(d + name) for name in COUNTS},
        },
        n_groups=m.u32("talker.n_groups"),
        n_codes=m.u32("code_predictor.n_vocab"),
        n_ctx_max=m.u32("talker.n_ctx_max"),
        n_embd=m.u32("talker.n_embd"),
        sample_rate=wave.u32("code2wav.sample_rate"),
        hop=wave.u32("code2wav.hop"),
    )
