"""Speak the sentences with flite and keep the clips, their lengths and the times of their phones.

    python render.py WORK [--voice rms] [--processes 2] [--sets train development held_out]

Writes WORK/SET.pcm (16-bit samples at flite's own 16 kHz, clip after clip) and WORK/SET.json (length in
samples, phones and their end times per clip). A set already rendered is left; a train set stopped half way
goes on after its last full part.
"""

import argparse
import json
import subprocess
import tempfile
import wave
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from sizes import RATE

HERE = Path(__file__).parent
PART = 2000  # clips a file


def speak(text: str, voice: str) -> tuple[bytes, list[tuple[str, float]]]:
    """Flite's samples of one text, and (phone, end in seconds) of all it said."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", file.name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        with wave.open(file.name) as clip:
            if (clip.getframerate(), clip.getnchannels(), clip.getsampwidth()) != (RATE, 1, 2):
                raise ValueError(
                    f"flite's {voice} speaks at {clip.getframerate()} Hz: {RATE} Hz, mono, 16 bits expected."
                )
            samples = clip.readframes(clip.getnframes())
    phones, offset, last = [], 0.0, 0.0
    for entry in printed.split():
        name, end = entry.rsplit(":", 1)
        if float(end) < last:  # a new utterance of the same text counts from zero again
            offset += last
        last = float(end)
        phones.append((name, round(offset + last, 3)))
    return samples, phones


def render(texts: list[str], voice: str, path: Path, pool) -> None:
    """One set, in parts of PART clips."""
    for part, start in enumerate(range(0, len(texts), PART)):
        target = path.with_suffix(f".{part:03}.json")
        if target.exists():
            continue
        clips = pool.map(partial(speak, voice=voice), texts[start : start + PART], chunksize=20)
        target.with_suffix(".pcm").write_bytes(b"".join(samples for samples, _ in clips))
        about = [{"samples": len(samples) // 2, "phones": phones} for samples, phones in clips]
        target.with_suffix(".tmp").write_text(json.dumps(about))
        target.with_suffix(".tmp").replace(
            target
        )  # whole or not at all: this file says that the part is there
        seconds = sum(clip["samples"] for clip in about) / RATE
        print(
            f"{path.name}: {start + len(clips)} of {len(texts)} clips, this part {seconds / 3600:.2f} h",
            flush=True,
        )


def load(path: Path) -> tuple[list[np.ndarray], list[list[tuple[str, float]]]]:
    """Clips (int16, mapped) and phones of the parts of a set rendered so far."""
    clips, phones = [], []
    for part in sorted(path.parent.glob(f"{path.name}.[0-9][0-9][0-9].json")):
        samples = np.memmap(part.with_suffix(".pcm"), np.int16, "r")
        at = 0
        for clip in json.loads(part.read_text()):
            clips.append(samples[at : at + clip["samples"]])
            phones.append(clip["phones"])
            at += clip["samples"]
    return clips, phones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sets", nargs="+", default=["development", "held_out", "train"])
    arguments = parser.parse_args()
    with Pool(arguments.processes) as pool:
        for name in arguments.sets:
            listed = HERE / f"{name}.txt"  # written by hand; the others by sentences.py
            source = listed if listed.exists() else arguments.work / listed.name
            render(
                source.read_text().splitlines(),
                arguments.voice,
                arguments.work / f"{arguments.voice}-{name}",
                pool,
            )


if __name__ == "__main__":
    main()
