"""A saved stream goes on as if nothing had happened, or as another take; what does not fit is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from far_ahead import codec_beside, codec_between_frames
from tiny import tiny_gguf
from toys import toy, variant

import pyomni
from pyomni import SpeechModel, SpeechOptions, Voice, errors

TEXT = "Hello there, this goes on for a while."
GO_ON = """
import sys, pathlib, pyomni
model = pyomni.load(sys.argv[1], device="cpu", threads=1)
stream = model.resume(pathlib.Path(sys.argv[2]).read_bytes())
pathlib.Path(sys.argv[3]).write_bytes(b"".join(block.tobytes() for block in stream))
"""


def options(seed: int = 7, streaming: bool | None = None, **changes) -> SpeechOptions:
    return SpeechOptions(seed=seed, max_frames=30, streaming_layout=streaming, **changes)


@pytest.fixture(scope="module", autouse=True, params=[codec_between_frames, codec_beside])
def codec(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here, with the codec between two frames and beside the talker."""
    with pytest.MonkeyPatch.context() as patch:
        request.param(patch)
        yield


@pytest.fixture(scope="module")
def model(codec: None) -> Iterator[SpeechModel]:
    """A model that never draws its end id."""
    with pyomni.load(variant("custom_voice"), device="cpu", threads=1) as m:
        yield m


@pytest.fixture(scope="module")
def base(codec: None) -> Iterator[SpeechModel]:
    with pyomni.load(variant("base"), device="cpu", threads=1) as m:
        yield m


def saved_after(model: SpeechModel, n: int, **arguments) -> bytes:
    """Return a stream saved after `n` blocks, and closed."""
    with model.stream(TEXT, **arguments) as stream:
        for _ in range(n):
            next(stream)
        return stream.save()


def in_context(base: SpeechModel) -> Voice:
    clip = (0.1 * np.random.default_rng(1).standard_normal(24000)).astype(np.float32)
    return base.clone((clip, 24000), transcript="What this clip says.")


def agrees(model: SpeechModel, **arguments) -> None:
    """Hold a stream saved and resumed after each of its blocks to the one that went on."""
    with model.stream(TEXT, **arguments) as stream:
        blocks, points = [next(stream)], [stream.save()]
        for block in stream:
            blocks.append(block)
            if stream.finish_reason is None:
                points.append(stream.save())
    assert len(points) >= 4
    for at, point in enumerate(points, 1):
        with model.resume(point) as again:
            rest = list(again)
        assert [r.tobytes() for r in rest] == [b.tobytes() for b in blocks[at:]]
        assert np.array_equal(again.codes, stream.codes)
        assert (again.seed, again.finish_reason) == (stream.seed, stream.finish_reason)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_same_samples_after_every_block(model: SpeechModel, streaming: bool) -> None:
    agrees(model, voice="ryan", options=options(streaming=streaming, repetition_penalty=1.3))


def test_the_same_samples_with_proposals(model: SpeechModel) -> None:
    agrees(model, voice="ryan", options=options(speculate=2, predictor_temperature=0.5))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_clone_in_context(base: SpeechModel, streaming: bool) -> None:
    agrees(base, voice=in_context(base), options=options(streaming=streaming))


def test_a_speech_that_ends_ends() -> None:
    with pyomni.load(toy(), device="cpu", threads=1, lanes=2) as model:
        agrees(model, voice="ryan", options=SpeechOptions(seed=7, max_frames=200))


def test_takes_of_one_prefix(model: SpeechModel) -> None:
    whole = model.speak(TEXT, voice="ryan", options=options())
    saved = saved_after(model, 3, voice="ryan", options=options())
    takes = [model.resume(saved, seed=seed).read() for seed in (8, 9, 8)]
    for take in takes:
        assert np.array_equal(take.codes[:7], whole.codes[:7])
        assert not np.array_equal(take.codes[7:], whole.codes[7:])
        assert len(take.codes) == 30
    assert [take.seed for take in takes] == [8, 9, 8]
    assert not np.array_equal(takes[0].codes, takes[1].codes)
    assert takes[0].audio.tobytes() == takes[2].audio.tobytes()
    assert model.resume(saved).read().audio.tobytes() == whole.audio[7 * model.hop :].tobytes()


def test_a_resumed_stream_is_saved_again(model: SpeechModel) -> None:
    whole = model.speak(TEXT, voice="ryan", options=options(streaming=True))
    with model.resume(saved_after(model, 2, voice="ryan", options=options(streaming=True))) as stream:
        next(stream)
        saved = stream.save()
    rest = model.resume(saved).read()
    assert rest.audio.tobytes() == whole.audio[7 * model.hop :].tobytes()
    assert np.array_equal(rest.codes, whole.codes)


def test_another_process(model: SpeechModel, tmp_path: Path) -> None:
    whole = model.speak(TEXT, voice="ryan", options=options())
    (tmp_path / "saved").write_bytes(saved_after(model, 3, voice="ryan", options=options()))
    paths = [str(variant("custom_voice")), str(tmp_path / "saved"), str(tmp_path / "pcm")]
    subprocess.run([sys.executable, "-c", GO_ON, *paths], check=True, timeout=120)
    assert (tmp_path / "pcm").read_bytes() == whole.audio[7 * model.hop :].tobytes()


def test_when_a_stream_cannot_be_saved(model: SpeechModel) -> None:
    with model.stream(TEXT, voice="ryan", options=options()) as stream:
        with pytest.raises(errors.ArgumentError, match="the stream has not begun"):
            stream.save()
        list(stream)
        with pytest.raises(errors.ArgumentError, match="the stream has ended"):
            stream.save()
    with model.stream(TEXT, voice="ryan", options=options()) as stream:
        next(stream)
    with pytest.raises(errors.ArgumentError, match="the stream has ended"):
        stream.save()
    with model.stream(iter([TEXT]), voice="ryan", options=options()) as stream:
        next(stream)
        with pytest.raises(errors.ArgumentError, match="arriving text cannot be saved yet"):
            stream.save()
    with model.stream("One. Two.", voice="ryan", options=options(split="sentences")) as stream:
        next(stream)
        with pytest.raises(
            errors.ArgumentError, match='2 parts, expected one part to save: say split="never"'
        ):
            stream.save()


def test_what_does_not_fit_is_refused(model: SpeechModel, base: SpeechModel, tmp_path: Path) -> None:
    saved = saved_after(model, 2, voice="ryan", options=options())
    for bad in (b"", b"RIFF" * 9, saved[:-1], saved + b"\0"):
        with pytest.raises(errors.ModelFormatError, match="damaged or no saved speech"):
            model.resume(bad)
    with pytest.raises(errors.ArgumentError, match="seed is -1"):
        model.resume(saved, seed=-1)
    with pytest.raises(errors.ArgumentError, match="is str, expected the bytes"):
        model.resume("saved")  # type: ignore[arg-type]
    other = Path(tiny_gguf(tmp_path / "other.gguf", seed=99))
    with pyomni.load(other, device="cpu", threads=1) as stranger:
        expected = stranger.speak(TEXT, voice="ryan", options=options())
        with pytest.raises(errors.ArgumentError, match="weights"), stranger.resume(saved) as stream:
            next(stream)
        again = stranger.speak(TEXT, voice="ryan", options=options())
        assert again.audio.tobytes() == expected.audio.tobytes()
    assert len(model.resume(saved).read().codes) == 30
