"""Qwen3-Omni checkpoints to GGUF files side by side. `docs/gguf.md` is the contract for what is written.

A component is a frozen dataclass in a module of its own (`omni_thinker`, `omni_audio`, ...):

    read(config, ...)    sizes from a whole `config.json` and, for an encoder, `preprocessor_config.json`
    keys()               its GGUF keys, each beginning with its name and a dot
    tensors()            its `Planned` tensors in file order, each named so as well

This module reads them all, checks what two of them must agree on, deals them out to the files and has these
written together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pyomni.convert.json_config import Config, read_config
from pyomni.convert.omni_audio import AudioEncoder
from pyomni.convert.omni_code2wav import Code2Wav
from pyomni.convert.omni_talker import OmniTalker, code_predictor
from pyomni.convert.omni_text import chat_keys, omni_speech_keys
from pyomni.convert.omni_thinker import Thinker
from pyomni.convert.omni_vision import OmniVision
from pyomni.convert.plan import Planned, check_sources
from pyomni.convert.policy import check_type, file_type_number
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.convert.speech import N_SUPPRESSED
from pyomni.convert.tensors_talker import CodePredictor
from pyomni.convert.writer import File, Progress, Value, write_files
from pyomni.errors import ArgumentError, UnsupportedModel
from pyomni.siblings import SIBLINGS, main_path, sibling_path

__all__ = ["ARCHITECTURE", "MODEL_TYPE", "OmniArchitecture", "convert_omni", "omni_files"]

MODEL_TYPE = "qwen3_omni_moe"
ARCHITECTURE, FORMAT_VERSION = "qwen3-omni", 1
MAIN = ("thinker",)
FINGERPRINT_ELEMENTS = 16  # of each tensor: enough to tell two trainings of one architecture apart


@dataclass(frozen=True)
class OmniArchitecture:
    """Every network of one model; no speech in -Thinking and -Captioner."""

    thinker: Thinker
    audio_encoder: AudioEncoder
    vision_encoder: OmniVision
    talker: OmniTalker | None
    code_predictor: CodePredictor | None
    code2wav: Code2Wav | None

    @classmethod
    def read(cls, config: Config, preprocessor: Config) -> OmniArchitecture:
        """Sizes of all components, checked against each other.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        if config.text("model_type") != MODEL_TYPE:
            raise UnsupportedModel(
                f"{config.path}: model_type is {config.text('model_type')!r}, expected {MODEL_TYPE!r}"
            )
        thinker = Thinker.read(config)
        audio, vision = AudioEncoder.read(config, preprocessor), OmniVision.read(config, preprocessor)
        inputs = config.sub("thinker_config")
        width = thinker.stack.n_embd
        for part, key, found in (
            ("audio_config", "output_dim", audio.n_embd_out),
            ("vision_config", "out_hidden_size", vision.n_embd_out),
        ):
            if found != width:
                raise inputs.sub(part).fail(key, f"the thinker's hidden_size, {width}")
        if not config.flag("enable_audio_output", True):
            return cls(thinker, audio, vision, None, None, None)
        talker = OmniTalker.read(config)
        predictor, codec = code_predictor(config, talker), Code2Wav.read(config.sub("code2wav_config"))
        speech, wave = config.sub("talker_config"), config.sub("code2wav_config")
        # Whatever the language models can say, code2wav must be able to decode.
        if codec.n_groups != talker.n_groups:
            raise wave.fail("num_quantizers", f"the talker's num_code_groups, {talker.n_groups}")
        most = codec.codebook_size
        if talker.n_vocab - N_SUPPRESSED > most:
            raise speech.sub("text_config").fail(
                "vocab_size", f"at most {most + N_SUPPRESSED}: code2wav has {most} codes in a group"
            )
        if predictor.n_vocab > most:
            raise speech.sub("code_predictor_config").fail("vocab_size", f"at most {most}, code2wav's codes")
        return cls(thinker, audio, vision, talker, predictor, codec)

    @property
    def components(self) -> list[str]:
        """Names of the components this model has."""
        return [name for name, part in vars(self).items() if part is not None]

    def keys(self, component: str) -> dict[str, Value]:
        """A component's GGUF keys and their values."""
        return dict(getattr(self, component).keys())

    def tensors(self, component: str) -> list[Planned]:
        """A component's tensors in file order, stacked experts last: the rest is read for every token."""
        planned: list[Planned] = getattr(self, component).tensors()
        return sorted(planned, key=lambda tensor: "_exps." in tensor.name)


def convert_omni(src: Path, out: Path, type: str, progress: Progress | None = None) -> list[Path]:  # noqa: A002
    """Convert a Qwen3-Omni folder to up to three files: `out` and its siblings.

    Parameters
    ----------
    src : folder with `config.json`, `preprocessor_config.json`, tokenizer files and safetensors
    out : the thinker's file; the siblings' names come from it
    type, progress : as in `convert`

    Returns
    -------
    the files written, `out` first

    Raises
    ------
    As `convert`.
    """
    check_type(type)
    config = read_config(src / "config.json")
    model = OmniArchitecture.read(config, read_config(src / "preprocessor_config.json"))
    weights = Checkpoint(src)
    whole = [planned for name in model.components for planned in model.tensors(name)]
    check_sources(whole, (), weights, src)
    files = omni_files(model, src, config, out, type, fingerprint(weights))
    write_files(files, ARCHITECTURE, weights, type, progress)
    return [file.path for file in files]


def omni_files(
    model: OmniArchitecture, src: Path, config: Config, out: Path, file_type: str, checkpoint: str
) -> list[File]:
    """Deal a model's components out to files.

    Parameters
    ----------
    model : its networks
    src : folder with tokenizer files, template and generation defaults
    config : `config.json`
    out : the thinker's file; the siblings' names come from it
    file_type : key of `policy.FILE_TYPES`
    checkpoint : what tells files of this checkpoint from another's

    Raises
    ------
    As `convert`.
    """
    if main_path(out) != out or out.suffix != ".gguf":
        raise ArgumentError(
            f"{out}: is no name for a file with siblings, expected NAME.gguf, beside which NAME.media.gguf "
            "and NAME.speech.gguf can lie"
        )
    common: dict[str, Value] = {
        "general.name": src.resolve().name,
        "general.file_type": file_type_number(file_type),
        "pyomni.format_version": FORMAT_VERSION,
        "pyomni.type": file_type,
        "pyomni.checkpoint": checkpoint,
    }
    parts = {out: MAIN, **{sibling_path(out, name): SIBLINGS[name] for name in SIBLINGS}}
    files = []
    for path, names in parts.items():
        components = [name for name in names if name in model.components]
        if not components:
            continue
        keys = {**common, "pyomni.components": components}
        if "thinker" in components:
            keys |= chat_keys(src, config, model.thinker.n_vocab)
        if "talker" in components:
            keys |= omni_speech_keys(src, config)
        for name in components:
            keys |= model.keys(name)
        files.append(File(path, keys, [planned for name in components for planned in model.tensors(name)]))
    return files


def fingerprint(weights: Checkpoint) -> str:
    """What tells files of one checkpoint from another's, whatever their types and shards: 16 hex digits.

    Names, shapes and the first elements of all tensors but the experts, of which there are too many to read.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        if ".experts." not in name:
            stored = weights[name]
            digest.update(f"{name} {stored.dtype} {stored.shape}".encode())
            digest.update(stored.raw(0, min(prod(stored.shape), FINGERPRINT_ELEMENTS)).tobytes())
    return digest.hexdigest()[:16]
