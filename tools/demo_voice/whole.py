"""The packaged voice with its language models as training left them, to make other types of.

    python whole.py OUT.gguf

Talker and code predictor out of `checkpoint/weights.safetensors`, which holds F16, widened to F32; the codec
and all keys out of the packaged file. Needs pyomni alone: no torch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gguf import GGMLQuantizationType

from pyomni.convert.plan import Planned, Source
from pyomni.convert.policy import file_type_number
from pyomni.convert.safetensors_file import StoredTensor
from pyomni.convert.tensors_talker import CodePredictor, Stack, Talker
from pyomni.convert.writer import write_gguf
from pyomni.folders import packaged_voice
from pyomni.metadata import Metadata
from pyomni.quantize.files import keys_of, stored_tensors

WEIGHTS = Path(__file__).parent / "checkpoint" / "weights.safetensors"
TRAINED = "talker/official."  # before the official names


def trained() -> dict[str, StoredTensor]:
    """The language models' tensors by their official names."""
    with WEIGHTS.open("rb") as file:
        n = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n))
    return {
        name.removeprefix(TRAINED): StoredTensor(
            WEIGHTS, entry["dtype"], tuple(entry["shape"]), 8 + n + entry["data_offsets"][0]
        )
        for name, entry in header.items()
        if name.startswith(TRAINED)
    }


def language_models(m: Metadata) -> list[Planned]:
    """The plan of both, with the sizes the packaged file names."""

    def stack(name: str) -> Stack:
        whole = {
            key: m.u32(f"{name}.{key}")
            for key in Stack.__dataclass_fields__
            if key[0] == "n" or key == "head_dim"
        }
        return Stack(**whole, rms_eps=m.f32(f"{name}.rms_eps"), rope_theta=m.f32(f"{name}.rope_theta"))

    def sizes(name: str, *keys: str) -> list[int]:
        return [m.u32(f"{name}.{key}") for key in keys]

    talker = Talker(
        stack("talker"), *sizes("talker", "n_ctx_max", "n_vocab", "n_groups", "text.n_vocab", "text.n_embd")
    )
    predictor = CodePredictor(
        stack("code_predictor"), *sizes("code_predictor", "n_ctx_max", "n_vocab", "n_groups", "n_embd_in")
    )
    return talker.tensors() + predictor.tensors()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    m = Metadata.read(packaged_voice())
    codec = stored_tensors(m, "codec_decoder.")
    kept = [
        Planned(name, one.shape, (Source(name, one.shape),), stored=GGMLQuantizationType[one.dtype])
        for name, one in codec.items()
    ]
    keys = {**keys_of(m), "general.file_type": file_type_number("f32"), "pyomni.type": "f32"}
    write_gguf(
        out, m.str("general.architecture"), keys, language_models(m) + kept, {**trained(), **codec}, "f32"
    )


if __name__ == "__main__":
    main()
