"""The whole voice, through pyomni: word errors, endings and speed on sentences it has never seen.

    python evaluate.py MODEL.gguf [--set held_out] [--seed 1] [--temperature 0.6] [--out FOLDER]

Every sentence is spoken once, with the seed given plus its number: no retries. flite speaks the same ones for
comparison. Needs flite, pocketsphinx and an installed pyomni; no torch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from hearing import Listener, word_error_rate

import pyomni

HERE = Path(__file__).parent
LONGEST = 1.5  # of flite's time, that an utterance may take


def original(text: str, voice: str) -> tuple[np.ndarray, int]:
    """flite's own speech."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True)
        return soundfile.read(file.name, dtype="float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="the packaged voice if left out")
    parser.add_argument("--set", default="held_out")
    parser.add_argument("--voice", default="rms")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--predictor-temperature", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--repetition-penalty", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="keep the sounds here")
    parser.add_argument("--show", type=int, default=12)
    arguments = parser.parse_args()
    texts = (HERE / f"{arguments.set}.txt").read_text().splitlines()
    listener, pairs, originals, ended, ratios, rows = Listener(), [], [], 0, [], []
    seconds = spent = 0.0
    with pyomni.load(arguments.model, threads=arguments.threads) as model:
        for index, text in enumerate(texts):
            options = pyomni.SpeechOptions(
                seed=arguments.seed + index,
                temperature=arguments.temperature,
                predictor_temperature=arguments.predictor_temperature,
                top_k=arguments.top_k,
                repetition_penalty=arguments.repetition_penalty,
            )
            began = time.perf_counter()
            speech = model.speak(text, language="english", options=options)
            spent += time.perf_counter() - began
            sound, rate = original(text, arguments.voice)
            length = len(speech.audio) / speech.sample_rate
            seconds += length
            ratios.append(length / (len(sound) / rate))
            ended += speech.finish_reason == "stop" and ratios[-1] <= LONGEST
            heard = listener.hear(speech.audio, speech.sample_rate)
            pairs.append((text, heard))
            originals.append((text, listener.hear(sound, rate)))
            rows.append(
                {"text": text, "heard": heard, "flite": originals[-1][1], "ratio": round(ratios[-1], 2)}
            )
            if index < arguments.show:
                print(f"  {text} | {heard}", file=sys.stderr)
            if arguments.out:
                arguments.out.mkdir(parents=True, exist_ok=True)
                soundfile.write(arguments.out / f"{index:02}.wav", speech.audio, speech.sample_rate)
                soundfile.write(arguments.out / f"{index:02}-{arguments.voice}.wav", sound, rate)
    result = {
        "sentences": len(texts),
        "word_error_rate": round(word_error_rate(pairs), 1),
        "flite_word_error_rate": round(word_error_rate(originals), 1),
        "ended_in_time": round(100 * ended / len(texts), 1),
        "median_length_ratio": round(float(np.median(ratios)), 2),
        "rtf": round(spent / seconds, 3),
    }
    if arguments.out:
        (arguments.out / "result.json").write_text(json.dumps({**result, "rows": rows}, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
