"""vendor/fetch.py: only the archive the lock names is unpacked, only inside, and only once."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from pyomni._binding.device import build_about

FETCH = Path(__file__).resolve().parents[2] / "vendor" / "fetch.py"


def load_fetch() -> ModuleType:
    """Import vendor/fetch.py, which is a program and no part of the package."""
    spec = importlib.util.spec_from_file_location("vendor_fetch", FETCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fetch = load_fetch()

GOOD = {
    "ggml_python-1.0/README.md": b"outside the wanted folder",
    "ggml_python-1.0/vendor/LICENSE": b"the licence, outside as well",
    "ggml_python-1.0/vendor/ggml/CMakeLists.txt": b"project(ggml)\n",
    "ggml_python-1.0/vendor/ggml/src/ggml.c": b"int main(void) { return 0; }\n",
    "ggml_python-1.0/vendor/ggml-other/file": b"a neighbour whose name begins alike",
}


def make_archive(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """Write a .tar.gz of `files` (name to contents) and symbolic `links` (name to target)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            tar.addfile(member)
    return path


def lock_of(archive: Path, **changes: str):
    """Return the lock that names `archive`."""
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    values = {
        "package": "ggml-python",
        "version": "1.0",
        "sha256": sha256,
        "folder": "vendor/ggml",
        "licence": "vendor/LICENSE",
        "ggml": "1.2.3",
    }
    return fetch.Lock(**{**values, **changes})


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "good.tar.gz", GOOD)


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "vendor" / "ggml"


def everything_under(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_unpacks_only_the_wanted_folder(archive: Path, destination: Path) -> None:
    assert fetch.fetch(lock_of(archive), destination, archive)
    assert everything_under(destination) == [".fetched", "CMakeLists.txt", "LICENSE", "src/ggml.c"]
    assert (destination / "LICENSE").read_bytes() == b"the licence, outside as well"
    assert (destination / "CMakeLists.txt").read_bytes() == b"project(ggml)\n"
    assert [path.name for path in destination.parent.iterdir()] == ["ggml"]  # nothing left beside it


def test_second_call_needs_no_archive(archive: Path, destination: Path) -> None:
    lock = lock_of(archive)
    assert fetch.fetch(lock, destination, archive)
    before = (destination / "CMakeLists.txt").stat()
    archive.unlink()
    assert not fetch.fetch(lock, destination, archive)
    assert (destination / "CMakeLists.txt").stat().st_mtime_ns == before.st_mtime_ns


def test_a_changed_lock_fetches_again(archive: Path, destination: Path, tmp_path: Path) -> None:
    fetch.fetch(lock_of(archive), destination, archive)
    files = {"g-2/vendor/ggml/CMakeLists.txt": b"project(ggml2)\n", "g-2/vendor/LICENSE": b""}
    newer = make_archive(tmp_path / "newer.tar.gz", files)
    assert fetch.fetch(lock_of(newer, version="2.0"), destination, newer)
    assert everything_under(destination) == [".fetched", "CMakeLists.txt", "LICENSE"]
    assert (destination / "CMakeLists.txt").read_bytes() == b"project(ggml2)\n"


def test_hash_mismatch_names_file_found_and_expected(archive: Path, destination: Path) -> None:
    lock = lock_of(archive)
    archive.write_bytes(archive.read_bytes() + b"tampered")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(fetch.FetchError) as caught:
        fetch.fetch(lock, destination, archive)
    assert all(words in str(caught.value) for words in (str(archive), found, lock.sha256))
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "ggml_python-1.0/vendor/ggml/../../../../escaped",
        "/tmp/escaped",
        "ggml_python-1.0/vendor/ggml/..\\..\\escaped",
        "C:/escaped",
    ],
)
def test_a_path_that_escapes_refuses_the_archive(name: str, destination: Path, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "bad.tar.gz", {**GOOD, name: b"out"})
    with pytest.raises(fetch.FetchError, match="expected only paths below its top folder"):
        fetch.fetch(lock_of(archive), destination, archive)
    assert list(destination.parent.iterdir()) == []
    assert [path.name for path in tmp_path.rglob("*escaped*")] == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../outside", "CMakeLists.txt"])
def test_a_link_refuses_the_archive(target: str, destination: Path, tmp_path: Path) -> None:
    links = {"ggml_python-1.0/vendor/ggml/link": target}
    archive = make_archive(tmp_path / "bad.tar.gz", GOOD, links)
    with pytest.raises(fetch.FetchError, match="vendor/ggml/link' is a link or a device"):
        fetch.fetch(lock_of(archive), destination, archive)
    assert list(destination.parent.iterdir()) == []


def test_missing_folder(destination: Path, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "other.tar.gz", {"ggml_python-1.0/README.md": b""})
    with pytest.raises(fetch.FetchError, match="has no files in 'vendor/ggml'"):
        fetch.fetch(lock_of(archive), destination, archive)
    assert not destination.exists()


def test_missing_licence(destination: Path, tmp_path: Path) -> None:
    files = {name: contents for name, contents in GOOD.items() if not name.endswith("LICENSE")}
    archive = make_archive(tmp_path / "other.tar.gz", files)
    with pytest.raises(fetch.FetchError, match="has no file 'vendor/LICENSE', expected ggml's licence"):
        fetch.fetch(lock_of(archive), destination, archive)
    assert not destination.exists()
    inside = make_archive(tmp_path / "in.tar.gz", {**files, "ggml_python-1.0/vendor/ggml/LICENSE": b"in"})
    assert fetch.fetch(lock_of(inside, licence="vendor/ggml/LICENSE"), destination, inside)
    assert (destination / "LICENSE").read_bytes() == b"in"


def test_not_an_archive(destination: Path, tmp_path: Path) -> None:
    archive = tmp_path / "page.tar.gz"
    archive.write_text("<html>not found</html>")
    with pytest.raises(fetch.FetchError, match="cannot be unpacked"):
        fetch.fetch(lock_of(archive), destination, archive)
    with pytest.raises(fetch.FetchError, match="cannot be read"):
        fetch.fetch(lock_of(archive), destination, tmp_path / "absent.tar.gz")


def test_somebody_elses_folder_is_left_alone(archive: Path, destination: Path) -> None:
    destination.mkdir(parents=True)
    (destination / "mine.c").write_text("keep me")
    with pytest.raises(fetch.FetchError, match=r"carries no \.fetched"):
        fetch.fetch(lock_of(archive), destination, archive)
    assert everything_under(destination) == ["mine.c"]


def test_lock_with_a_missing_key(tmp_path: Path) -> None:
    path = tmp_path / "ggml.lock"
    path.write_text("# comment\npackage = ggml-python\nversion =\n")
    with pytest.raises(
        fetch.FetchError, match=r"expected \['folder', 'ggml', 'licence', 'package', 'sha256', 'version'\]"
    ):
        fetch.read_lock(path)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.9.8", "0.10.0 or later: older ones may have CVE-2025-53630, CVE-2026-33298, CVE-2026-27940"),
        ("0.9.99", "0.10.0 or later"),
        ("0.10", "expected three numbers"),
        ("newest", "expected three numbers"),
    ],
)
def test_a_ggml_behind_an_advisory_is_refused(
    version: str, words: str, archive: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ggml.lock"
    path.write_text(lock_of(archive, ggml=version).stamp)
    with pytest.raises(fetch.FetchError) as caught:
        fetch.read_lock(path)
    assert words in str(caught.value)
    path.write_text(lock_of(archive, ggml="0.10.0").stamp)
    assert fetch.read_lock(path).ggml == "0.10.0"


def test_what_is_compiled_in_is_the_ggml_of_the_lock() -> None:
    # else a wrong line there would let an old one pass
    assert build_about()["ggml"] == fetch.read_lock(FETCH.parent / "ggml.lock").ggml


def test_the_committed_lock_names_one_archive() -> None:
    lock = fetch.read_lock(FETCH.parent / "ggml.lock")
    assert len(bytes.fromhex(lock.sha256)) == 32
    assert all(part.isdigit() for part in lock.ggml.split("."))


# A source package whose build backend leaves a mark where it runs; no requirement, so pip needs no network.
BACKEND = """
import os, pathlib
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    pathlib.Path(os.environ["MARK"]).write_text("ran")
    info = pathlib.Path(folder, "ggml_python-1.0.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: ggml-python\\nVersion: 1.0\\n")
    info.joinpath("WHEEL").write_text("Wheel-Version: 1.0\\nGenerator: none\\nTag: py3-none-any\\n")
    return info.name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise NotImplementedError
"""
PACKAGE = {
    **GOOD,
    "ggml_python-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: ggml-python\nVersion: 1.0\n",
    "ggml_python-1.0/backend.py": BACKEND.encode(),
    "ggml_python-1.0/pyproject.toml": (
        b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        b'[project]\nname = "ggml-python"\ndynamic = ["version"]\n'
    ),
}


@pytest.mark.parametrize("tampered", [False, True])
def test_download_runs_nothing_unverified(
    tampered: bool, destination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shelf").mkdir()
    archive = make_archive(tmp_path / "shelf" / "ggml_python-1.0.tar.gz", PACKAGE)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    lock = lock_of(archive, **({"sha256": "0" * 64} if tampered else {}))
    if tampered:
        with pytest.raises(
            fetch.FetchError, match=f"has sha256 [0-9a-f]{{64}}, expected {'0' * 64}; it was not"
        ):
            fetch.fetch(lock, destination)
        assert not destination.exists()
    else:
        assert fetch.fetch(lock, destination)
        assert (destination / "src" / "ggml.c").is_file()
    assert (tmp_path / "mark").exists() is not tampered


def test_download_without_a_source_says_what_to_do(
    destination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock = fetch.Lock("ggml-python", "1.0", "0" * 64, "vendor/ggml", "vendor/LICENSE", "1.2.3")
    with pytest.raises(fetch.FetchError, match="set PYOMNI_GGML_ARCHIVE to the path of that archive"):
        fetch.fetch(lock, destination)
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize("tampered", [False, True])
def test_as_a_program(tampered: bool, archive: Path, destination: Path, tmp_path: Path) -> None:
    lock = tmp_path / "ggml.lock"
    lock.write_text(lock_of(archive).stamp)
    if tampered:
        archive.write_bytes(archive.read_bytes() + b"tampered")
    run = subprocess.run(
        [sys.executable, str(FETCH), "--lock", str(lock), "--into", str(destination)],
        env={**os.environ, "PYOMNI_GGML_ARCHIVE": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )
    if tampered:
        assert (run.returncode, run.stdout) == (1, "")
        assert run.stderr.startswith(f"fetch.py: error: {archive}: has sha256 ")
        assert not destination.exists()
    else:
        assert (run.returncode, run.stdout) == (0, "ggml 1.2.3 from ggml-python 1.0: fetched\n")
        assert destination.is_dir()
