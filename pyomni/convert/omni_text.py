"""Qwen3-Omni's text side, voices and sampling defaults as GGUF keys."""

from __future__ import annotations

from pathlib import Path

from pyomni.convert.json_config import Config, read_config
from pyomni.convert.speech import N_SUPPRESSED, speaker_ids
from pyomni.convert.text import SPEECH_IDS, id_keys, tokenizer_keys
from pyomni.convert.writer import Value
from pyomni.errors import ModelFileError

__all__ = ["chat_keys", "omni_speech_keys"]

ROLE_IDS = {"system": "system_token_id", "user": "user_token_id"}
MEDIA_IDS = {
    "audio": "audio_token_id",
    "image": "image_token_id",
    "video": "video_token_id",
    "audio_start": "audio_start_token_id",
    "audio_end": "audio_end_token_id",
    "vision_start": "vision_start_token_id",
    "vision_end": "vision_end_token_id",
}
# No think id: this model has no language ids for it to announce.
CODEC_IDS = {
    "pad": "codec_pad_id",
    "bos": "codec_bos_id",
    "eos": "codec_eos_token_id",
    "nothink": "codec_nothink_id",
    "think_bos": "codec_think_bos_id",
    "think_eos": "codec_think_eos_id",
}
DEFAULT_SPEAKER = "ethan"  # generate()'s own
UNUSED = 5  # ggml's token type of an id without a token


def chat_keys(folder: Path, config: Config, n_vocab: int) -> dict[str, Value]:
    """Keys of the thinker's file: vocabulary, template, ids and how text is sampled.

    Parameters
    ----------
    folder : holds the tokenizer's files, a chat template and perhaps `generation_config.json`
    config : `config.json`
    n_vocab : rows of the text embedding

    Raises
    ------
    ModelFileError
        A file is missing.
    ModelFormatError
        An id without a token, or a value out of range.
    """
    keys = tokenizer_keys(folder, n_vocab)
    types, tokens = keys["tokenizer.ggml.token_type"], keys["tokenizer.ggml.tokens"]
    thinker = config.sub("thinker_config")
    g = _generation(folder)
    text, d = "omni.text.", "omni.default."
    ids = {
        **id_keys(config, "tts.text.", SPEECH_IDS, types),
        **id_keys(config, text, ROLE_IDS, types),
        **id_keys(thinker, text, MEDIA_IDS, types),
    }
    return {
        **keys,
        "tokenizer.chat_template": _template(folder),
        **ids,
        text + "n_tokens": max(i for i, kind in enumerate(types) if kind != UNUSED) + 1,
        text + "stop_ids": _stop_ids(folder, g, tokens, int(str(ids["tts.text.im_end_id"]))),
        "omni.position_id_per_seconds": thinker.whole("position_id_per_seconds"),
        # generate()'s keyword defaults: greedy, and what sampling does where only that is asked for
        d + "do_sample": g.flag("do_sample", False),
        d + "temperature": g.number("temperature", 1.0, high=100),
        d + "top_k": g.whole("top_k", 50, low=0),
        d + "top_p": g.number("top_p", 1.0, high=1),
        d + "repetition_penalty": g.number("repetition_penalty", 1.0, low=1e-3, high=100),
        d + "max_new_tokens": g.whole("thinker_max_new_tokens", 1024),
    }


def omni_speech_keys(folder: Path, config: Config) -> dict[str, Value]:
    """Keys of the speech file: control ids, voices and how codes are sampled.

    Raises
    ------
    ModelFormatError
        An id outside the talker's vocabulary, or a default out of range.
    """
    talker = config.sub("talker_config")
    n_vocab = talker.sub("text_config").whole("vocab_size", low=N_SUPPRESSED + 1)
    speakers = speaker_ids(talker, "speaker_id", n_vocab)
    g, d = _generation(folder), "tts.default."
    return {
        **{f"tts.codec.{n}_id": talker.whole(key, low=0, high=n_vocab - 1) for n, key in CODEC_IDS.items()},
        "tts.suppress": [n_vocab - N_SUPPRESSED, n_vocab],
        "tts.speakers.names": list(speakers),
        "tts.speakers.ids": list(speakers.values()),
        "tts.default.speaker": DEFAULT_SPEAKER if DEFAULT_SPEAKER in speakers else next(iter(speakers), ""),
        d + "do_sample": g.flag("talker_do_sample", True),
        d + "temperature": g.number("talker_temperature", 0.9, high=100),
        d + "top_k": g.whole("talker_top_k", 50, low=0),
        d + "top_p": g.number("talker_top_p", 1.0, high=1),
        d + "repetition_penalty": g.number("talker_repetition_penalty", 1.05, low=1e-3, high=100),
        d + "max_new_tokens": g.whole("talker_max_new_tokens", 4096),
        d + "min_new_tokens": 0,
        # literals of the talker's generation step
        d + "predictor_do_sample": True,
        d + "predictor_temperature": 1.0,
        d + "predictor_top_k": 50,
        d + "predictor_top_p": 0.8,
    }


def _generation(folder: Path) -> Config:
    path = folder / "generation_config.json"
    return read_config(path) if path.is_file() else Config(path, {})


def _template(folder: Path) -> str:
    """The chat template, from whichever of the files that may hold it is there."""
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            config = read_config(path)
            if "chat_template" in config:
                return config.text("chat_template")
    plain = folder / "chat_template.jinja"
    try:
        return plain.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(
            f"{folder}: no chat template found, expected chat_template.json or chat_template.jinja"
        ) from error


def _stop_ids(folder: Path, generation: Config, tokens: list[str], im_end: int) -> list[int]:
    """Ids that end an answer: what the files name as ends, the end of a turn first."""
    found = generation.values.get("eos_token_id", [])
    stops = [im_end, *(found if isinstance(found, list) else [found])]
    tokenizer = read_config(folder / "tokenizer_config.json")
    for key in ("eos_token", "pad_token"):
        value = tokenizer.values.get(key)
        name = value.get("content") if isinstance(value, dict) else value
        if name in tokens:
            stops.append(tokens.index(name))
    for stop in stops:
        if type(stop) is not int or not 0 <= stop < len(tokens):
            raise generation.fail("eos_token_id", f"ids from 0 to {len(tokens) - 1}")
    return list(dict.fromkeys(stops))
