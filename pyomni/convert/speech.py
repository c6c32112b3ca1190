"""Control ids, voices, languages and sampling defaults as GGUF keys `tts.*`."""

from __future__ import annotations

from pathlib import Path

from pyomni.convert.json_config import Config, read_config
from pyomni.convert.writer import Value
from pyomni.errors import UnsupportedModel

__all__ = ["MODEL_TYPES", "N_SUPPRESSED", "speaker_ids", "speech_keys"]

MODEL_TYPES = ("base", "custom_voice", "voice_design")
N_SUPPRESSED = 1024  # generate() never samples the last 1024 codec ids, the end id excepted
MIN_NEW_TOKENS = 2  # generate()'s own: at least two sampled ids before the end
CODEC_IDS = {
    "pad": "codec_pad_id",
    "bos": "codec_bos_id",
    "eos": "codec_eos_token_id",
    "think": "codec_think_id",
    "nothink": "codec_nothink_id",
    "think_bos": "codec_think_bos_id",
    "think_eos": "codec_think_eos_id",
}


def speech_keys(folder: Path, config: Config) -> dict[str, Value]:
    """Keys `tts.*` but for `tts.text.*`.

    Parameters
    ----------
    folder : holds `generation_config.json`; without one the official code's defaults hold
    config : `config.json`

    Raises
    ------
    ModelFormatError
        An id outside the talker's vocabulary, a voice with an unknown dialect, a default out of range.
    UnsupportedModel
        A model type this engine does not know.
    """
    talker = config.sub("talker_config")
    kind, size = config.text("tts_model_type"), config.text("tts_model_size")
    if kind not in MODEL_TYPES:
        raise UnsupportedModel(
            f"{config.path}: tts_model_type is {kind!r}, expected one of {', '.join(MODEL_TYPES)}"
        )
    n_vocab = talker.whole("vocab_size", low=N_SUPPRESSED + 1)
    keys: dict[str, Value] = {"tts.model_type": kind, "tts.model_size": size}
    for name, key in CODEC_IDS.items():
        keys[f"tts.codec.{name}_id"] = talker.whole(key, low=0, high=n_vocab - 1)
    keys["tts.suppress"] = [n_vocab - N_SUPPRESSED, n_vocab]

    path = folder / "generation_config.json"
    generation = read_config(path) if path.is_file() else Config(path, {})
    languages = speaker_ids(talker, "codec_language_id", n_vocab)
    speakers = speaker_ids(talker, "spk_id", n_vocab)
    return {
        **keys,
        "tts.languages.names": list(languages),
        "tts.languages.ids": list(languages.values()),
        "tts.speakers.names": list(speakers),
        "tts.speakers.ids": list(speakers.values()),
        "tts.speakers.dialects": _dialects(talker, speakers, languages),
        "tts.streaming_layout": _streaming_layout(generation, kind),
        # The official wrapper drops an instruction where the size's name is part of "0b6".
        "tts.instruct": kind == "voice_design" or (kind == "custom_voice" and size not in "0b6"),
        **_defaults(generation),
    }


def speaker_ids(talker: Config, key: str, n_vocab: int) -> dict[str, int]:
    """Names of a table in lower case, as they are compared, with their rows of the codec embedding."""
    table = talker.sub(key, {})
    found: dict[str, int] = {}
    for name in table.values:
        if not name or name.lower() in found:
            raise table.fail(name, "names that are not empty and differ in more than case")
        found[name.lower()] = table.whole(name, low=0, high=n_vocab - 1)
    return found


def _dialects(talker: Config, speakers: dict[str, int], languages: dict[str, int]) -> list[str]:
    """For each speaker a dialect, or the empty text; JSON holds a name or false."""
    table = talker.sub("spk_is_dialect", {})
    named = {name.lower(): value for name, value in table.values.items()}
    dialects = []
    for speaker in speakers:
        value = named.get(speaker, False)
        dialect = "" if value in (False, None) else value
        if not isinstance(dialect, str) or (dialect and dialect.lower() not in languages):
            raise talker.fail(
                "spk_is_dialect", f"false or a name of codec_language_id for {speaker!r}, not {value!r}"
            )
        dialects.append(dialect.lower())
    return dialects


def _streaming_layout(generation: Config, kind: str) -> bool:
    """The official wrapper's default for the type, unless the checkpoint names its argument."""
    return not generation.flag("non_streaming_mode", kind != "base")


def _defaults(g: Config) -> dict[str, Value]:
    d = "tts.default."
    return {
        d + "do_sample": g.flag("do_sample", True),
        d + "temperature": g.number("temperature", 0.9, high=100),
        d + "top_k": g.whole("top_k", 50, low=0),
        d + "top_p": g.number("top_p", 1.0, high=1),
        d + "repetition_penalty": g.number("repetition_penalty", 1.05, low=1e-3, high=100),
        d + "predictor_do_sample": g.flag("subtalker_dosample", True),
        d + "predictor_temperature": g.number("subtalker_temperature", 0.9, high=100),
        d + "predictor_top_k": g.whole("subtalker_top_k", 50, low=0),
        d + "predictor_top_p": g.number("subtalker_top_p", 1.0, high=1),
        d + "max_new_tokens": g.whole("max_new_tokens", 2048),
        d + "min_new_tokens": g.whole("min_new_tokens", MIN_NEW_TOKENS, low=0),
    }
