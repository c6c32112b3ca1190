"""Qwen3-TTS 12 Hz checkpoints to GGUF. `docs/gguf.md` is the contract for what is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gguf import GGMLQuantizationType

from pyomni.convert.json_config import Config, read_config
from pyomni.convert.plan import Planned, check_sources
from pyomni.convert.policy import check_type, file_type_number
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.convert.speech import N_SUPPRESSED, speech_keys
from pyomni.convert.tensors_codec import CodecDecoder
from pyomni.convert.tensors_codec_encoder import CodecEncoder
from pyomni.convert.tensors_speaker import SpeakerEncoder
from pyomni.convert.tensors_talker import CodePredictor, Talker
from pyomni.convert.text import text_keys
from pyomni.convert.writer import Progress, Value, write_gguf
from pyomni.errors import ArgumentError, UnsupportedModel

__all__ = ["MODEL_TYPE", "Architecture", "convert_tts"]

MODEL_TYPE = "qwen3_tts"
ARCHITECTURE, FORMAT_VERSION = "qwen3-tts", 1


@dataclass(frozen=True)
class Architecture:
    """Every network of one model, read from its two configurations."""

    talker: Talker
    code_predictor: CodePredictor
    codec_decoder: CodecDecoder
    codec_encoder: CodecEncoder | None  # None: left out
    speaker_encoder: SpeakerEncoder | None  # Base only

    @classmethod
    def read(cls, config: Config, codec: Config) -> Architecture:
        """Sizes of all components, checked against each other.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        _expect(config, "model_type", MODEL_TYPE)
        _expect(config, "tokenizer_type", "qwen3_tts_tokenizer_12hz")
        _expect(codec, "model_type", "qwen3_tts_tokenizer_12hz")
        speech = config.sub("talker_config")
        talker = Talker.read(speech)
        predictor_config = speech.sub("code_predictor_config")
        predictor = CodePredictor.read(predictor_config, talker.n_groups, talker.stack.n_embd)
        decoder, encoder = CodecDecoder.read(codec), CodecEncoder.read(codec)
        groups, size = talker.n_groups, decoder.codebook_size
        # Whatever the language models can say, the codec must be able to decode.
        if decoder.n_groups != groups:
            raise codec.sub("decoder_config").fail(
                "num_quantizers", f"the talker's num_code_groups, {groups}"
            )
        if encoder.n_groups != groups:
            raise codec.fail("encoder_valid_num_quantizers", f"the talker's num_code_groups, {groups}")
        if talker.n_vocab - N_SUPPRESSED > size:
            raise speech.fail(
                "vocab_size", f"at most {size + N_SUPPRESSED}: the codec's codebooks have {size} rows"
            )
        if predictor.n_vocab > size:
            raise predictor_config.fail("vocab_size", f"at most {size}, the rows of the codec's codebooks")
        speaker = None
        if config.text("tts_model_type") == "base":
            speaker_config = config.sub("speaker_encoder_config")
            speaker = SpeakerEncoder.read(speaker_config)
            if speaker.n_embd_out != talker.stack.n_embd:
                raise speaker_config.fail("enc_dim", f"the talker's hidden_size, {talker.stack.n_embd}")
        return cls(talker, predictor, decoder, encoder, speaker)

    @property
    def components(self) -> list[str]:
        """Names of the components this model has."""
        return [name for name, part in vars(self).items() if part is not None]

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {key: value for name in self.components for key, value in getattr(self, name).keys().items()}

    def speech_plan(self) -> list[Planned]:
        """Tensors out of the main checkpoint."""
        plan = self.talker.tensors() + self.code_predictor.tensors()
        return plan + self.speaker_encoder.tensors() if self.speaker_encoder else plan

    def codec_plan(self) -> list[Planned]:
        """Tensors out of `speech_tokenizer/`."""
        plan = self.codec_decoder.tensors()
        return plan + self.codec_encoder.tensors() if self.codec_encoder else plan

    def codec_unused(self) -> list[str]:
        """Tensors of `speech_tokenizer/` that nothing at run time needs."""
        return self.codec_decoder.unused() + (self.codec_encoder.unused() if self.codec_encoder else [])


def small_codec(plan: list[Planned]) -> list[Planned]:
    """A codec's plan with its matrices and kernels stored in half the space; codebooks stay as they are."""
    half = GGMLQuantizationType.F16
    return [replace(p, stored=half) if len(p.sources) == 1 and len(p.shape) > 1 else p for p in plan]


def convert_tts(
    src: Path,
    out: Path,
    type: str,  # noqa: A002
    progress: Progress | None = None,
    *,
    codec: str = "f32",
    encoder: bool = True,
) -> list[Path]:
    """Convert a Qwen3-TTS folder to one file with every component in it.

    Parameters
    ----------
    src : folder with `config.json`, tokenizer files, safetensors and `speech_tokenizer/`
    out, type, progress, codec, encoder : as in `convert`

    Returns
    -------
    `out` alone

    Raises
    ------
    As `convert`.
    """
    check_type(type)
    config = read_config(src / "config.json")
    sounds_config = read_config(src / "speech_tokenizer" / "config.json")
    model = Architecture.read(config, sounds_config)
    keys: dict[str, Value] = {
        "general.name": src.resolve().name,
        "general.file_type": file_type_number(type),
        "pyomni.format_version": FORMAT_VERSION,
        "pyomni.type": type,
        "pyomni.components": model.components,
        **text_keys(src, config, model.talker.text_n_vocab),
        **speech_keys(src, config),
        **model.keys(),
    }
    weights, sounds = Checkpoint(src), Checkpoint(src / "speech_tokenizer")
    check_sources(model.speech_plan(), (), weights, src)
    check_sources(model.codec_plan(), model.codec_unused(), sounds, src / "speech_tokenizer")
    if not encoder:
        if config.text("tts_model_type") == "base":
            raise ArgumentError(
                "the codec encoder of a base model was to be left out, expected it in: it clones with it"
            )
        model = replace(model, codec_encoder=None)
        keys.update({"pyomni.components": model.components})
        keys = {key: value for key, value in keys.items() if not key.startswith("codec_encoder.")}
    sound = model.codec_plan()
    plan = [*model.speech_plan(), *(small_codec(sound) if codec == "f16" else sound)]
    write_gguf(out, ARCHITECTURE, keys, plan, {**weights, **sounds}, type, progress)
    return [out]


def _expect(config: Config, key: str, expected: str) -> None:
    found = config.text(key)
    if found != expected:
        raise UnsupportedModel(f"{config.path}: {key} is {found!r}, expected {expected!r}")
