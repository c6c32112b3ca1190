"""Two sessions on one model from two threads, beside others opened, cancelled and closed; for tsan.

    python tests/fuzz/threads.py [--native build/thread/module] [--rounds 20]

Every thread checks that it got what it gets alone. Where the module was built with the thread sanitizer, a
race that it sees is an exit code of 66, and its report is on stderr. Whether it sees any is tried first, on
two threads that copy to one place at once.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

#: The exit code of a process in which the thread sanitizer saw a race (`run.SANITIZERS`).
RACE = 66


def rows_of(model: Any, seed: int, n: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).standard_normal((n, model.info.n_embd)).astype(np.float32)


def speak_and_decode(talker: Any, codec: Any, seed: int) -> Any:
    """One prompt, some steps, and a block of codes: what a thread of a server does."""
    import numpy as np

    from pyomni.components.codec import CodecDecoder
    from pyomni.components.lm import DecoderLM

    lm, decoder = DecoderLM(talker, 64), CodecDecoder(codec)
    step = lm.decode(rows_of(talker, seed, 9))
    saved = lm.save()
    for i in range(4):
        step = lm.decode(rows_of(talker, seed + i, 1))
    lm.load(saved)
    again = lm.decode(rows_of(talker, seed, 1))
    codes = np.random.default_rng(seed).integers(0, codec.info.n_vocab, (3, codec.info.n_groups))
    pcm = decoder.decode(codes)
    lm.close()
    decoder.close()
    return np.concatenate([step.logits.ravel(), again.logits.ravel(), pcm])


def child(folder: Path, rounds: int) -> None:
    """Run the threads; ends with an exception where one got something else than alone."""
    import numpy as np

    from pyomni import PyOmniError
    from pyomni._binding import Device, Model, drain_log
    from pyomni.components.lm import DecoderLM

    device = Device("cpu", 2)
    talker = Model(device, folder / "toy.gguf", "talker")
    codec = Model(device, folder / "toy.gguf", "codec_decoder")
    alone = [speak_and_decode(talker, codec, seed) for seed in range(2)]
    wrong: list[str] = []

    def work(seed: int) -> None:
        for _ in range(rounds):
            if not np.array_equal(speak_and_decode(talker, codec, seed), alone[seed]):
                wrong.append(f"thread {seed} got something else than alone")

    def meddle() -> None:
        for _ in range(rounds):
            with Model(device, folder / "toy.gguf", "talker") as other:
                lm = DecoderLM(other, 64)
                timer = threading.Timer(0.001, lm.session.cancel)
                timer.start()
                try:
                    lm.decode(rows_of(other, 5, 60))
                except PyOmniError:
                    lm.rewind()
                timer.join()
                lm.close()
            drain_log()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    threads.append(threading.Thread(target=meddle))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    print(f"{rounds} rounds of two sessions on one model, beside one that opens, cancels and closes others")


def race() -> None:
    """What the sanitizer must object to: two threads, without Python's lock, write to one place."""
    copy = ctypes.CDLL(None).memcpy
    to, source = (ctypes.create_string_buffer(1 << 20) for _ in range(2))

    def work() -> None:
        for _ in range(200):
            copy(to, source, ctypes.c_size_t(1 << 20))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    """Run as a program: returns the child's exit code."""
    from fuzz.run import environment

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--native", type=Path, help="folder of the compiled module, such as one with the sanitizer"
    )
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make = "import sys, pathlib; from tiny import tiny_gguf; tiny_gguf(pathlib.Path(sys.argv[1]))"
        plain, env = environment(None), environment(options.native)
        subprocess.run(
            [sys.executable, "-c", make, Path(folder) / "toy.gguf"], env=plain, cwd=folder, check=True
        )
        sanitized = "PYOMNI_FUZZ_SANITIZED" in env
        # the sanitizer's memory map knows no random places
        python = [*(["setarch", "--addr-no-randomize"] if sanitized else []), sys.executable, "-c"]
        if sanitized:
            code = "from fuzz.threads import race; race()"
            seen = subprocess.run([*python, code], env=env, cwd=folder, capture_output=True, check=False)
            if seen.returncode != RACE:
                print(f"the sanitizer saw no race where there is one: {seen.returncode}", file=sys.stderr)
                return 1
        code = "from fuzz.threads import start; start()"
        command = [*python, code, folder, str(options.rounds)]
        return subprocess.run(command, env=env, cwd=folder, check=False).returncode


def start() -> None:
    """What the child begins with."""
    from fuzz.child import use_native

    if native := os.environ.get("PYOMNI_FUZZ_NATIVE"):
        use_native(native)
    child(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.exit(main())
