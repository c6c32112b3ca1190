"""Do the installed wheel and llama-cpp-python compute in one process what each computes alone?

    cd /tmp && venv/bin/python -I .ci/wheel_beside_llama.py

Both bring a ggml, of one version where llama-cpp-python is the one that ``vendor/ggml.lock`` names: functions
of the one could then be taken for the other's without a crash. So outputs are compared, to the bit: speech of
the packaged voice and logits of a llama of random weights; in both orders of import, with the other at work
in between, and with llama-cpp-python's libraries put where any library finds their functions.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]
SIZES = {"vocab": 32, "embd": 64, "ff": 96, "head": 4, "layer": 2, "ctx": 64}


def write_llama(path: Path) -> None:
    """Write a llama without a vocabulary, of random weights."""
    import gguf
    import numpy as np

    draw = np.random.default_rng(9)
    embd, ff, vocab = SIZES["embd"], SIZES["ff"], SIZES["vocab"]
    shapes = {"token_embd": (vocab, embd), "output": (vocab, embd), "output_norm": (embd,)}
    for i in range(SIZES["layer"]):
        shapes |= {f"blk.{i}.attn_{name}": (embd, embd) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_{name}": (ff, embd) for name in ("gate", "up")}
        shapes |= {
            f"blk.{i}.ffn_down": (embd, ff),
            f"blk.{i}.attn_norm": (embd,),
            f"blk.{i}.ffn_norm": (embd,),
        }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(vocab)
    writer.add_context_length(SIZES["ctx"])
    writer.add_embedding_length(embd)
    writer.add_block_count(SIZES["layer"])
    writer.add_feed_forward_length(ff)
    writer.add_head_count(SIZES["head"])
    writer.add_rope_dimension_count(embd // SIZES["head"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("no_vocab")
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draw.normal(0.0, 0.2, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def speech() -> str:
    """Return the hash of what pyomni says."""
    import pyomni

    with pyomni.load(device="cpu", threads=1) as model:
        said = model.speak("Two of a kind.", options=pyomni.SpeechOptions(seed=7))
    assert any(said.audio)
    return hashlib.sha256(said.audio.tobytes()).hexdigest()


def logits(path: str) -> str:
    """Return the hash of what llama-cpp-python computes, after asking its ggml for the devices."""
    import ctypes

    import llama_cpp
    from llama_cpp import _ggml

    llama_cpp.llama_backend_init()
    assert _ggml.libggml.ggml_backend_dev_count() > 0, "llama-cpp-python's ggml has no device"
    model_params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
    assert model, f"llama-cpp-python does not open {path}"
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = SIZES["ctx"], 1, 1
    context = llama_cpp.llama_init_from_model(model, params)
    assert context, "llama-cpp-python makes no context"
    tokens = (llama_cpp.llama_token * len(TOKENS))(*TOKENS)
    assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(TOKENS))) == 0
    row = llama_cpp.llama_get_logits_ith(context, -1)
    data = ctypes.string_at(row, SIZES["vocab"] * ctypes.sizeof(ctypes.c_float))
    assert any(data), "logits of nothing but zeros"
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return hashlib.sha256(data).hexdigest()


def libraries_for_all() -> str:
    """Load llama-cpp-python's libraries so that any later one finds their functions."""
    import ctypes
    import importlib.util

    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    for name in ("ggml-base", "ggml-cpu", "ggml", "llama"):
        ctypes.CDLL(str(Path(spec.origin).parent / "lib" / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
    return ""


def child(steps: list[str], path: str) -> None:
    """Do the steps in this process; print what they returned and which libraries of ggml are mapped."""
    does: dict[str, Callable[[], str]] = {
        "pyomni": speech,
        "llama": lambda: logits(path),
        "global": libraries_for_all,
    }
    results = [(step, does[step]()) for step in steps]
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    mapped = sorted({Path(line.split()[-1]).name for line in maps if "ggml" in line.rpartition("/")[2]})
    print(json.dumps({"results": results, "mapped": mapped}))


def main() -> int:
    """Compare the orders; raises AssertionError where one differs."""
    orders = ["pyomni", "llama", "pyomni llama pyomni", "llama pyomni llama", "global pyomni llama pyomni"]
    alone: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "llama.gguf")
        write_llama(path)
        for order in orders:
            command = [sys.executable, "-I", __file__, "--child", str(path), *order.split()]
            done = subprocess.run(command, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, f"{order}: ended with {done.returncode}\n{done.stdout}{done.stderr}"
            said = json.loads(done.stdout.splitlines()[-1])
            for step, value in said["results"]:
                if step != "global":
                    assert alone.setdefault(step, value) == value, f"{order}: {step} computes something else"
            ours = [name for name in said["mapped"] if name.startswith("libpyomni-ggml")]
            theirs = [name for name in said["mapped"] if name.startswith("libggml")]
            assert bool(ours) == ("pyomni" in order), f"{order}: {said['mapped']}"
            assert bool(theirs) == ("llama" in order), f"{order}: {said['mapped']}"
            print(
                f"{order}: as alone; {len(ours)} libraries of pyomni's, {len(theirs)} of llama-cpp-python's"
            )
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[3:], sys.argv[2])
    else:
        sys.exit(main())
