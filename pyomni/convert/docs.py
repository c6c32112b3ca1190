"""docs/quantize.md, its tables from the policy: ``python -m pyomni.convert.docs > docs/quantize.md``."""

from __future__ import annotations

from collections.abc import Iterator

from pyomni.convert.policy import FILE_TYPES, RULES, SMALLER_BLOCKS, Role

__all__ = ["markdown"]

HEAD = """\
# Types, and quantization

Made by `python -m pyomni.convert.docs` from `pyomni/convert/policy.py`, which `pyomni convert` and `pyomni
quantize` both ask; change that, or the words in `pyomni/convert/docs.py`, not this file.

```sh
pyomni convert CHECKPOINT model-bf16.gguf --type bf16
pyomni imatrix model-bf16.gguf texts.txt -o model.imatrix.gguf
pyomni quantize model-bf16.gguf model-q4_k.gguf q4_k --imatrix model.imatrix.gguf
```

`quantize` writes what `convert` would have made of the checkpoint, byte for byte where the source is f32
(or bf16, of a bf16 checkpoint) and no importance matrix is used. It reads and writes a few rows at a time;
of Qwen3-Omni the siblings that lie beside the source are written beside the output. All files appear whole
or none does. Floats are never stored wider than they came: a codec stored as f16 stays f16. A source that
is quantised already is refused, as errors add up; `--allow-requantize` takes it, and copies the tensors
that have their type already.

"""
TYPES = """\
## What a tensor is decides its type

"""
BLOCKS = """\
A row that is not whole blocks of 256 gets
{k};
one that is not whole blocks of 32 gets f16. In the
released Qwen3-Omni these are the last matrix of the talker's experts (rows of 384) and of the vision
encoder's MLPs (rows of 4304). The codec of a Qwen3-TTS model is f32, or f16 where `convert --codec f16`
was asked for; it computes in f32 either way.

SnakeBeta takes exponentials and a moved codebook row changes every code after it, so both stay f32. The
code predictor's `ffn_down` has inputs up to 1.5e5, which f16 cannot hold, and a CPU product with an f16
weight rounds its input to f16. In q8_0 such an input would take the scale of the 32 numbers around it, which
are then rounded away. All blocks are made by ggml's own quantizers; of the quantised types only q8_0 can be
written where nothing was compiled.

`quantize --tensor-type 'NAMES=TYPE'` gives matrices another type by name (`*` stands for anything, the last
that fits counts), where the kind is bulk, matrix, fine or wide:

```sh
pyomni quantize model-bf16.gguf model-q4_k.gguf q4_k --tensor-type 'code_predictor.*=q4_k'
```

A frame reads the code predictor fifteen times, so its type decides the speed; `benchmarks/RESULTS.md` has
what that gains, and what it costs the packaged voice. No real checkpoint was at hand to measure; other ports
keep it at q8_0 or finer as well.

## Which tensor is what

The first line that fits counts. What none fits, and every tensor of one axis, is `float`.

"""
IMATRIX = """\
## Importance matrices

`pyomni imatrix MODEL TEXTS -o FILE` lets the model speak each line of TEXTS with a seed of its own (a
model that converses answers it, aloud where it can) and sums up the squares of what goes into each matrix,
column by column: of talker and code predictor, of the thinker, of each expert by itself. ggml then
searches the scales of a block for the least error weighted by these sums. It changes the types that search
(all but q8_0) and no tensor's size. A column that was never used keeps a millionth of the mean; an expert
that was never chosen counts all columns alike. Choose texts like those to be spoken, and none that the
result is judged by.

The file is a GGUF in llama.cpp's layout:

| key or tensor | type | meaning |
|---|---|---|
| `general.type` | str | `imatrix` |
| `imatrix.datasets` | arr[str] | the name of TEXTS |
| `imatrix.chunk_count`, `imatrix.chunk_size` | u32 | texts; 1, as a text has no fixed length |
| `pyomni.checkpoint` | str | the checkpoint it is of; another one's is refused. May be missing |
| `NAME.in_sum2` | f32 `[n_in, n_matrices]` | sums of squares of what went into the tensor NAME |
| `NAME.counts` | f32 `[1, n_matrices]` | rows in those sums; several matrices where NAME stacks experts |

A model made with one says so in `quantize.imatrix.file`, `.dataset`, `.entries_count` and `.chunks_count`.

What the types cost and save is measured in `benchmarks/RESULTS.md`.
"""


def markdown() -> str:
    """Return the whole page."""
    smaller = ", ".join(f"{_word(new)} for {_word(old)}" for old, new in SMALLER_BLOCKS.items())
    parts = [HEAD, TYPES, *_types(), "\n", BLOCKS.format(k=smaller)]
    for arch in RULES:
        parts += [f"### `{arch}`\n\n", *_names(arch), "\n"]
    return "".join([*parts, IMATRIX])


def _types() -> Iterator[str]:
    yield f"| kind | what it is | {' | '.join(f'`{name}`' for name in FILE_TYPES)} |\n"
    yield f"|---|---|{'---|' * len(FILE_TYPES)}\n"
    for role in Role:
        kinds = [_word(row.kinds[role]) if role in row.kinds else "f32" for row in FILE_TYPES.values()]
        yield f"| {_word(role)} | {role.value} | {' | '.join(kinds)} |\n"
    numbers = " | ".join(str(row.number) for row in FILE_TYPES.values())
    yield f"| | `general.file_type` | {numbers} |\n"


def _names(arch: str) -> Iterator[str]:
    yield "| component | tensors | kind |\n|---|---|---|\n"
    for component, role, patterns in RULES[arch]:
        yield f"| `{component}` | {', '.join(f'`{one}`' for one in patterns)} | {_word(role)} |\n"


def _word(member: object) -> str:
    name = getattr(member, "name", "")
    return str(name).lower()


if __name__ == "__main__":
    print(markdown(), end="")
