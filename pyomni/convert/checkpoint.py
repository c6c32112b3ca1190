"""Converting a checkpoint folder of whichever model it holds."""

from __future__ import annotations

from pathlib import Path

from pyomni.convert import qwen3_omni, qwen3_tts
from pyomni.convert.json_config import read_config
from pyomni.convert.policy import check_type
from pyomni.convert.writer import Progress
from pyomni.errors import ArgumentError, ModelFileError, UnsupportedModel

__all__ = ["convert", "convert_files"]

MODELS = (qwen3_tts.MODEL_TYPE, qwen3_omni.MODEL_TYPE)


def convert(
    src: str | Path,
    out: str | Path,
    type: str = "bf16",  # noqa: A002 - what users type, as in --type
    progress: Progress | None = None,
    *,
    codec: str = "f32",
    encoder: bool = True,
) -> Path:
    """Convert a Hugging Face folder to GGUF.

    Parameters
    ----------
    src : folder with `config.json`, tokenizer files and safetensors, one file or shards; for Qwen3-TTS with
        `speech_tokenizer/`, for Qwen3-Omni with `preprocessor_config.json`
    out : GGUF to write; it appears whole or not at all. Qwen3-Omni gets up to two more beside it:
        `x.media.gguf` with its encoders, and `x.speech.gguf` where the model speaks
    type : a key of `FILE_TYPES`, which says what each tensor becomes
    progress : called as ``progress(tensor_name, bytes_done, bytes_in_all)`` after each tensor
    codec : ``"f32"``, or ``"f16"`` to store the codec of a Qwen3-TTS model in half the space; it computes in
        F32 either way
    encoder : False leaves the codec encoder of a Qwen3-TTS model out, which only base models and
        `SpeechModel.encode` need

    Returns
    -------
    `out` as a path

    Raises
    ------
    ArgumentError
        An unknown type, or `out` is one of the source's own files.
    ModelFileError
        A file cannot be read or written, or the disk is full.
    ModelFormatError
        A file is damaged; a tensor or a key is missing, left over or of another shape.
    UnsupportedModel
        A checkpoint of another model, codec or architecture; a K type without the compiled module.
    """
    return convert_files(src, out, type, progress, codec=codec, encoder=encoder)[0]


def convert_files(
    src: str | Path,
    out: str | Path,
    type: str = "bf16",  # noqa: A002
    progress: Progress | None = None,
    *,
    codec: str = "f32",
    encoder: bool = True,
) -> list[Path]:
    """Convert as `convert` does, and return all the files written, `out` first."""
    check_type(type)
    if codec not in ("f32", "f16"):
        raise ArgumentError(f"the codec's type is {codec!r}, expected f32 or f16")
    src, out = Path(src), Path(out)
    if not src.is_dir():
        found = "is a file" if src.exists() else "is not there"
        raise ModelFileError(f"{src}: {found}, expected a folder in Hugging Face layout")
    inside = out.resolve().parent in (src.resolve(), (src / "speech_tokenizer").resolve())
    if inside and out.exists() and out.suffix != ".gguf":
        raise ArgumentError(f"{out}: is one of the files to convert from, expected another name")
    config = read_config(src / "config.json")
    kind = config.text("model_type")
    if kind not in MODELS:
        raise UnsupportedModel(f"{config.path}: model_type is {kind!r}, expected one of {', '.join(MODELS)}")
    if kind == qwen3_tts.MODEL_TYPE:
        return qwen3_tts.convert_tts(src, out, type, progress, codec=codec, encoder=encoder)
    if codec != "f32" or not encoder:
        asked = f"codec type {codec}" if codec != "f32" else "no codec encoder"
        raise ArgumentError(f"{asked} was asked for {kind}, which has no such choice")
    return qwen3_omni.convert_omni(src, out, type, progress)
