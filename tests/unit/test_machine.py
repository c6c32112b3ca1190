"""Which device is used: the best GPU that passes its self-test, and what is said where one does not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from toys import toy

import pyomni
from pyomni import _binding, errors
from pyomni._binding import Found, addons
from pyomni.cli import main
from pyomni.doctor import FAIL, OK, WARN, install
from pyomni.machine import choice, open_device, pick, small_talker

CPU = Found("cpu", "cpu", "A processor")
Machine = Callable[..., None]


class Opened(_binding.Device):
    """A device that is here by name only."""

    def __init__(self, name: str, n_threads: int | None = None) -> None:
        super().__init__("cpu", n_threads)
        self.name = name


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that gives this machine devices, some of which fail their self-test."""

    def has(*devices: tuple[str, str], bad: tuple[str, ...] = ()) -> None:
        found = [*(Found(name, kind, f"A {kind}") for name, kind in devices), CPU]
        monkeypatch.setattr(choice, "found_devices", lambda: found)
        monkeypatch.setattr(_binding, "found_devices", lambda: found)
        monkeypatch.setattr(choice, "self_test", lambda name: "f32 products are 3 off" if name in bad else "")

    return has


def test_the_best_gpu_is_picked(machine: Machine) -> None:
    machine(("vulkan1", "igpu"), ("vulkan0", "gpu"), ("cuda0", "gpu"))
    assert pick().name == "vulkan0"  # in the order that ggml lists them
    assert pick().problems == ()
    machine(("vulkan1", "igpu"), ("vulkan0", "gpu"), ("cuda0", "gpu"), bad=("vulkan0",))
    assert pick().name == "cuda0"
    assert pick().problems == ("device 'vulkan0' failed its self-test: f32 products are 3 off",)
    machine(("vulkan1", "igpu"), ("cuda0", "gpu"), bad=("cuda0",))
    assert pick().name == "vulkan1"


def test_software_is_taken_by_name_only(machine: Machine) -> None:
    machine(("vulkan0", "software"))
    assert pick() == choice.Picked("cpu", "no GPU is here, vulkan0 being software")
    assert pick("vulkan0").name == "vulkan0"
    machine(("warp", "other"))
    assert pick() == choice.Picked("cpu", "no GPU is here")


def test_a_gpu_that_fails_is_passed_over_with_one_warning(machine: Machine) -> None:
    machine(("cuda0", "gpu"), ("cuda1", "gpu"), bad=("cuda0", "cuda1"))
    with pytest.warns(errors.DeviceWarning) as caught, open_device("auto", 1) as device:
        assert (device.name, device.n_threads) == ("cpu", 1)
    assert [str(one.message) for one in caught] == [
        "device 'cuda0' failed its self-test: f32 products are 3 off; "
        "device 'cuda1' failed its self-test: f32 products are 3 off: running on cpu"
    ]


def test_one_that_was_asked_for_and_fails_is_an_error(machine: Machine) -> None:
    machine(("cuda0", "gpu"), bad=("cuda0",))
    with pytest.raises(errors.DeviceError, match=r"'cuda0' failed its self-test: f32 .*; expected one"):
        open_device("cuda0")
    machine()
    with pytest.raises(errors.ArgumentError, match="'cuda0' is not here; expected auto or one of: cpu"):
        open_device("cuda0")


def test_the_command_line_says_it_and_goes_on(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    machine(("cuda0", "gpu"), bad=("cuda0",))
    speak = ["speak", "Hi", "-m", str(toy()), "--max-seconds", "0.1", "-t", "1", "-o"]
    assert main([*speak, "auto.wav"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert said == [
        "pyomni: warning: device 'cuda0' failed its self-test: f32 products are 3 off: running on cpu"
    ]
    assert main([*speak, "quiet.wav", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*speak, "cuda0.wav", "--device", "cuda0"]) == 5
    assert "device 'cuda0' failed its self-test" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auto.wav", "quiet.wav"]


def test_doctor_explains_the_choice(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(("vulkan0", "software"))
    check = install._devices("auto", 1)
    assert check.status == OK
    assert check.measured == (
        "vulkan0 (A software), cpu (A processor); "
        "using cpu with 1 threads: no GPU is here, vulkan0 being software"
    )
    machine(("cuda0", "gpu"), bad=("cuda0",))
    check = install._devices("auto", 1)
    assert check.status == WARN
    assert "'cuda0' failed its self-test: f32" in check.measured
    assert check.measured.endswith("using cpu with 1 threads: no GPU passed its self-test")
    monkeypatch.setattr(_binding, "Device", Opened)
    check = install._devices("cuda0", 1)
    assert check.status == FAIL
    assert check.measured.endswith("using cuda0 with 1 threads: it was asked for")


def test_the_self_test_compares_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    test = choice.self_test.__wrapped__
    assert test("cpu") == ""
    assert test("abacus9").startswith("device 'abacus9' is not here")
    right = small_talker._numpy
    monkeypatch.setattr(small_talker, "_numpy", lambda w, rows: tuple(1.1 * x for x in right(w, rows)))
    assert test("cpu") == "f32 products are 9e-02 off, expected at most 1e-02"
    monkeypatch.setattr(small_talker, "_numpy", lambda w, rows: tuple(np.nan * x for x in right(w, rows)))
    assert test("cpu").startswith("f32 products are nan off")


# --- add-ons ----------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that installs an add-on of a version."""
    monkeypatch.syspath_prepend(tmp_path)

    def install_addon(text: str) -> Path:
        folder = tmp_path / "pyomni_cuda"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text(text)
        (folder / "libpyomni-ggml-cuda.so").write_bytes(b"not a library")
        sys.modules.pop("pyomni_cuda", None)
        return folder

    yield install_addon
    sys.modules.pop("pyomni_cuda", None)


def loaded() -> tuple[addons.Addon, ...]:
    return addons.load_addons.__wrapped__()


def test_no_addon_is_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded() == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('__version__ = "0.0.9"', rf"is version 0\.0\.9, expected {pyomni.__version__}, that of pyomni"),
        ("", "its package is damaged"),
        ("import nothing_of_the_kind", "its package is damaged"),
        (f'__version__ = "{pyomni.__version__}"', "libpyomni-ggml-cuda.so: "),
    ],
)
def test_an_addon_that_does_not_fit_is_left_alone(
    package: Callable[[str], Path], text: str, words: str
) -> None:
    package(text)
    with pytest.warns(errors.DeviceWarning, match=f"the add-on pyomni-cuda is not used: .*{words}") as caught:
        (addon,) = loaded()
    assert len(caught) == 1
    assert addon.name == "cuda"
    assert addon.problem


def test_doctor_names_the_addons(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(("vulkan0", "gpu"))
    found = (addons.Addon("cuda", "0.1.0"), addons.Addon("vulkan", "0.1.0"))
    monkeypatch.setattr(_binding, "load_addons", lambda: found)
    monkeypatch.setattr(_binding, "Device", Opened)
    check = install._devices("auto", 1)
    assert "vulkan0 (A gpu), cpu (A processor), cuda: found, no device; using" in check.measured
    monkeypatch.setattr(_binding, "load_addons", lambda: (addons.Addon("cuda", "0.0.9", "it is too old"),))
    check = install._devices("auto", 1)
    assert check.status == WARN
    assert "cuda: the add-on is not used, it is too old" in check.measured
