"""What deploy/ says is what the command takes and the project has."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from pyomni.cli.main import parser

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICE = COMPOSE["services"]["pyomni"]


def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[method-assign, assignment] # names have capitals
    found.read(DEPLOY / "pyomni.service")
    return found


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, joined where they go on in the next line."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(one[0], one[1]) for line in joined.splitlines() if (one := line.split(maxsplit=1))]


def said(name: str) -> list[str]:
    """The words of the last instruction of a name, in the form of a JSON list."""
    return json.loads([words for one, words in instructions() if one == name][-1])


def commands() -> list[list[str]]:
    entry = said("ENTRYPOINT")
    execute = shlex.split(unit()["Service"]["ExecStart"])
    execute[0] = Path(execute[0]).name
    found = [[*entry, *said("CMD")], [*entry, *SERVICE["command"]], execute]
    for page in [*DEPLOY.iterdir(), ROOT / "docs" / "home-assistant.md"]:
        for words in re.findall(r"^[# ]*(pyomni serve [^\n`#]*)", page.read_text(), re.MULTILINE):
            found.append(shlex.split(words))
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_is_one(command: list[str]) -> None:
    assert command[0] == "pyomni"
    args = parser().parse_args(command[1:])
    assert args.verb == "serve"
    if args.host == "0.0.0.0":  # which needs a key
        assert "PYOMNI_API_KEY" in SERVICE["environment"]


def test_what_stops_it_waits_longer_than_it_drains() -> None:
    drain = [parser().parse_args(command[1:]).drain for command in commands()[:3]]
    assert max(drain[:2]) < int(SERVICE["stop_grace_period"].rstrip("s"))
    assert drain[2] < int(unit()["Service"]["TimeoutStopSec"])
    assert ("STOPSIGNAL", "SIGTERM") in instructions()


def test_the_image_has_what_the_build_needs() -> None:
    copied = [words.split()[:-1] for one, words in instructions() if one == "COPY" and "--from" not in words]
    names = [name for line in copied for name in line]
    assert names
    for name in names:
        assert (ROOT / name).exists()
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for name in names:
        assert f"!{name}" in ignored
    wanted = re.findall(r"\$\{CMAKE_CURRENT_SOURCE_DIR\}/([\w-]+)", (ROOT / "CMakeLists.txt").read_text())
    for name in [*wanted, "pyproject.toml", "README.md", "LICENSE", "csrc", "pyomni", "vendor"]:
        assert any(fnmatch(name, have) for have in names), f"the build needs {name}"
    extras = re.search(r"'\.\[([\w,]+)\]'", DOCKERFILE)
    assert extras
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE)


def test_the_image_runs_as_nobody_and_is_asked_how_it_is() -> None:
    users = [words for one, words in instructions() if one == "USER"]
    assert users[-1] not in ("0", "root")
    [health] = [words for one, words in instructions() if one == "HEALTHCHECK"]
    port = parser().parse_args([*said("ENTRYPOINT"), *said("CMD")][1:]).port
    assert f"http://127.0.0.1:{port}/health" in health
    assert ("EXPOSE", str(port)) in instructions()
    assert SERVICE["ports"] == [f"127.0.0.1:{port}:{port}"]
    code = re.search(r'"-c", "([^"]*)"', health)
    assert code
    compile(code[1], "HEALTHCHECK", "exec")


def test_compose_builds_this_image_and_uses_its_volumes() -> None:
    build = SERVICE["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    volumes = json.loads(next(words for one, words in instructions() if one == "VOLUME"))
    assert {one.split(":")[1 if not one.startswith("$") else -2] for one in SERVICE["volumes"]} == set(
        volumes
    )
    assert SERVICE["environment"]["PYOMNI_MODEL"].startswith("/models/")


def test_variables_are_those_the_program_reads() -> None:
    code = "".join(path.read_text() for path in (ROOT / "pyomni").rglob("*.py"))
    code += (DEPLOY / "ray_serve.py").read_text()
    for page in DEPLOY.iterdir():
        if page.is_file():
            for name in re.findall(r"PYOMNI_[A-Z_]+", page.read_text()):
                assert f'"{name}"' in code, f"{page.name}: {name}"
