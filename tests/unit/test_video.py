"""Frames at even times out of a file, and what is kept of the time between them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from films import frame, lying, number_of, video

from pyomni.vision.frontend import VisionFrontEnd
from pyomni.vision.video import read_sound, read_video

av = pytest.importorskip("av")
EYES = VisionFrontEnd(16, 2, 2, (0.5,) * 3, (0.5,) * 3, (1024, 65536), (1024, 65536))


def looked_at(file: object, **wanted: float) -> tuple[list[int], float]:
    frames, fps = read_video(file, lambda h, w: (h, w), **wanted)
    return [number_of(pixels) for pixels in frames], fps


@pytest.mark.parametrize(
    ("wanted", "numbers", "fps"),
    [
        ({}, [0, 5, 10, 15, 20, 25], 2.0),
        ({"fps": 1}, [0, 10, 20], 1.0),
        ({"fps": 4}, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27], 4.0),
        ({"fps": 3}, [0, 3, 6, 10, 13, 16, 20, 23, 26], 3.0),
        ({"fps": 10}, [*range(30)], 10.0),
        ({"fps": 60}, [*range(30)], 10.0),  # no frame twice
        ({"fps": 0.1}, [0], 0.1),
    ],
)
def test_rates(wanted: dict[str, float], numbers: list[int], fps: float) -> None:
    assert looked_at(video(), **wanted) == (numbers, pytest.approx(fps))


@pytest.mark.parametrize("most", [1, 2, 3, 4, 7])
def test_a_long_film_is_looked_at_less_often(most: int) -> None:
    numbers, fps = looked_at(video(), max_frames=most)
    assert len(numbers) <= most
    assert fps <= 2
    assert numbers == [int(10 * i / fps + 1e-3) for i in range(len(numbers))]  # still even
    assert len(numbers) >= most / 2 or len(numbers) == 6


def test_a_film_longer_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no length is known, every other frame is dropped once there are too many."""
    import pyomni.vision.video as module

    opened = module._container

    class Endless:
        """A container that does not say how long it is."""

        def __init__(self, inner: object) -> None:
            self.inner = inner

        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None:
            self.inner.close()

        def __getattr__(self, name: str) -> object:
            return None if name == "duration" else getattr(self.inner, name)

    monkeypatch.setattr(module, "_container", lambda name, file: Endless(opened(name, file)))
    for most in (1, 2, 3, 4, 5, 6):
        numbers, fps = looked_at(video(), max_frames=most)
        assert 1 <= len(numbers) <= most
        assert numbers == [int(10 * i / fps + 1e-3) for i in range(len(numbers))]


def test_uneven_times() -> None:
    """What is shown at a time is the last frame before it, as long as it takes."""
    times = [0, 0.1, 2.0, 2.1, 3.0]
    numbers, fps = looked_at(video(5, 10, times=times), fps=2)
    assert (numbers, fps) == ([0, 1, 1, 1, 2, 3, 4], 2.0)


def test_a_film_that_starts_late() -> None:
    numbers, fps = looked_at(video(11, 10, times=[5 + i / 10 for i in range(11)]))
    assert (numbers, fps) == ([0, 5, 10], 2.0)


def test_a_file_and_its_frames_are_one(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(video(6, 10))
    frames = [frame(i) for i in range(6)]
    films = [EYES.video(path, fps=10), EYES.video(path.read_bytes(), fps=10)]
    films += [EYES.video((frames, 10)), EYES.video((np.stack(frames), 10.0))]
    rows = [np.concatenate(list(film.steps())) for film in films]
    for other, film in zip(rows, films, strict=True):
        np.testing.assert_array_equal(other, rows[0])
        assert (film.grid, film.seconds_per_step, film.fps) == ((3, 4, 4), 0.2, 10.0)


def test_an_odd_frame_fills_its_step() -> None:
    [first, last] = EYES.video(([frame(1), frame(2), frame(3)], 2)).steps()
    patches = last.reshape(-1, 3, 2, 256)
    np.testing.assert_array_equal(patches[:, :, 0], patches[:, :, 1])
    assert not np.array_equal(first.reshape(-1, 3, 2, 256)[:, :, 0], first.reshape(-1, 3, 2, 256)[:, :, 1])


def test_true_time_is_kept() -> None:
    """A film of 10 a second looked at twice a second, or as it is: the same seconds."""
    for fps, step in ((2, 1.0), (5, 0.4), (10, 0.2), (30, 0.2)):
        film = EYES.video(video(20, 10), fps=fps)
        assert film.seconds_per_step == pytest.approx(step)
        assert film.grid[0] * step == pytest.approx(2.0, abs=step)


def test_memory_is_of_one_step() -> None:
    film = EYES.video((np.zeros((10, 64, 64, 3), np.uint8), 2))
    steps = film.steps()
    assert [step.shape for step in itertools.islice(steps, 2)] == [(16, 1536)] * 2
    assert film.grid == (5, 4, 4)


@pytest.mark.parametrize("turn", [90, -90])
def test_a_film_that_lies_on_its_side(turn: int) -> None:
    frames, _ = read_video(lying(turn), lambda h, w: (h, w))
    assert frames[0].shape == (64, 48, 3)
    bright, dark = frames[0][32, 4].mean(), frames[0][32, -5].mean()  # what was the top is left or right
    assert (bright > 180 > 80 > dark) if turn > 0 else (dark > 180 > 80 > bright)


def test_sound() -> None:
    sound = read_sound(video(4, 10, sound=8000))
    assert sound is not None
    samples, rate = sound
    assert (samples.shape, samples.dtype, rate) == ((8000, 1), np.float32, 16000)
    np.testing.assert_allclose(samples[:, 0], 8000 / 32768 * np.sin(np.arange(8000) / 20), atol=1e-4)
    assert read_sound(video(4)) is None
    short = read_sound(video(4, sound=8000), max_seconds=0.1)
    assert short is not None
    assert len(short[0]) == 1600
