"""Record what the official package says, greedily: what `pyomni verify MODEL` compares with.

    python tools/record_codes.py CHECKPOINT MODEL.gguf [--out MODEL.codes.npz] [--frames 64] [--prompts FILE]

CHECKPOINT is the folder in Hugging Face layout of a CustomVoice or VoiceDesign model; MODEL.gguf any
file that was converted from it, which says which checkpoint it is. FILE is JSON: a list of objects with
``text`` and, where they are wanted, ``speaker``, ``language``, ``instruct`` and ``streaming``. Without
it two sentences are spoken by the first speaker, in both layouts. Needs the environment that
docs/parity.md names, and as many bytes as the checkpoint has in float32.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pyomni.metadata import SpeechMetadata, checkpoint_fingerprint
from pyomni.verify.codes import Reference, beside
from pyomni.verify.toy_speech import Prompt

TEXTS = ("The harbour was quiet that morning, and the boats lay still.", "What time is it?")
PCM_STEP = 17  # without a factor in common with the strides of a frame


def record(checkpoint: Path, model: Path, out: Path, prompts: tuple[Prompt, ...], n_frames: int) -> Reference:
    """Run the official package and return what it did.

    Parameters
    ----------
    checkpoint : folder in Hugging Face layout
    model : GGUF converted from it
    out : where the recording is to be written
    prompts : what is said
    n_frames : the most frames of a run
    """
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]
    from parity.official import Official  # type: ignore[import-not-found]
    from parity.record import choice_margins  # type: ignore[import-not-found]

    official = Official(checkpoint)
    codes, margins, pcm = [], [], []
    for prompt in prompts:
        with official.watch() as log:
            made = official.greedy(prompt, n_frames)
        codes.append(made.astype(np.int32))
        margins.append(choice_margins(log, made, official.talker.config))
        pcm.append(official.pcm(made)[::PCM_STEP].copy())
    packages = ", ".join(f"{name} {version(name)}" for name in ("qwen-tts", "transformers", "torch"))
    return Reference(
        out,
        checkpoint_fingerprint(SpeechMetadata.read(model).meta),
        f"{packages}, float32",
        prompts,
        tuple(codes),
        tuple(margins),
        tuple(pcm),
        PCM_STEP,
    )


def default_prompts(model: Path) -> tuple[Prompt, ...]:
    """Return two sentences in both layouts, by the first speaker of a model."""
    speaker = next(iter(SpeechMetadata.read(model).speakers), "")
    return tuple(Prompt(text, speaker, streaming=streaming) for text in TEXTS for streaming in (False, True))


def main() -> None:
    """Read the command line and write the recording."""
    parser = argparse.ArgumentParser(description="Record official greedy codes for `pyomni verify MODEL`.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--prompts", type=Path)
    args = parser.parse_args()
    prompts = default_prompts(args.model)
    if args.prompts is not None:
        given = json.loads(args.prompts.read_text(encoding="utf-8"))
        prompts = tuple(Prompt(**{"speaker": "", **prompt}) for prompt in given)
    reference = record(args.checkpoint, args.model, args.out or beside(args.model), prompts, args.frames)
    reference.write()
    closest = min(float(margin.min()) for margin in reference.margins)
    said = [len(made) for made in reference.codes]
    print(json.dumps({"out": str(reference.path), "frames": said, "closest_choice": closest}))
    print(json.dumps([dataclasses.asdict(prompt) for prompt in prompts], ensure_ascii=False))


if __name__ == "__main__":
    main()
