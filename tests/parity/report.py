"""Print the tables of docs/parity.md from what this machine reaches now.

    python tests/parity/report.py [--write | --check]
    python tests/parity/report.py --device NAME [--write]

``--write`` puts them into docs/parity.md between their markers. ``--check`` ends with 1 where the document
has other rows or columns than are made now, or where a figure, there or here, is larger than allowed. Needs
pyomni installed; no torch.

With ``--device`` it is the table of that device alone, which ``--check`` can only read: it has to have the
rows of today, and no figure too large.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import figures

from pyomni._binding import Device, build_about, devices
from pyomni.verify import recording
from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours, gguf
from pyomni.verify.tolerances import SHARES, TOLERANCES
from pyomni.verify.toys import Row, run_toys

DOC = Path(__file__).resolve().parents[2] / "docs" / "parity.md"
DEVICE_KINDS = ("f32", "q8_0")  # float products and quantised ones
BEGIN, END = "<!-- begin: python tests/parity/report.py --write, {} -->", "<!-- end -->"
MISSED = "**"  # around a figure that is larger than allowed


def quantities() -> str:
    """Return one row per quantity of the speech toys, and one per greedy run."""
    reached: dict[str, dict[str, list[figures.Figure]]] = {quantity: {} for quantity in TOLERANCES}
    greedy = []
    about = json.loads((recording.FOLDER / "cases.json").read_text())
    for name, case in cases.CASES.items():
        ours, stored = Ours(gguf(name)), figures.load(name)
        for one in figures.all_figures(ours, name, stored):
            reached[one.quantity].setdefault(name, []).append(one)
        same = sum(
            np.array_equal(ours.greedy(prompt, cases.N_FRAMES), stored[f"greedy.{p}"])
            for p, prompt in enumerate(case.prompts)
        )
        gaps = about[name]["smallest_margin"]
        margins = f"{gaps['talker']:.1e} | {gaps['predictor']:.1e}"
        greedy.append(f"| `{name}` | {same} of {len(case.prompts)} | {cases.N_FRAMES} | {margins} |")
    names = list(cases.CASES)
    lines = [
        f"| quantity | at most | {' | '.join(f'`{name}`' for name in names)} | rms | peak |",
        "|---" * (4 + len(names)) + "|",
    ]
    for quantity, tolerance in TOLERANCES.items():
        all_of_it = [one for some in reached[quantity].values() for one in some]
        if not all_of_it:
            continue  # of a component with toy models of its own
        most = {name: max(one.reached for one in reached[quantity][name]) for name in names}
        cells = [_cell(value, value <= tolerance.value) for value in most.values()]
        rms = sorted(one.rms for one in all_of_it)
        lines.append(
            f"| {quantity} | {tolerance.value:.0e} | {' | '.join(cells)} | {rms[0]:.2g} to {rms[-1]:.2g} "
            f"| {max(one.peak for one in all_of_it):.2g} |"
        )
    lines += [
        "",
        "| model | greedy runs equal | frames each | smallest margin, talker | smallest margin, predictor |",
        "|---|---|---|---|---|",
        *greedy,
    ]
    return "\n".join(lines)


def types() -> str:
    """Return what `pyomni verify` prints, one column per type: one row per component and stage."""
    kinds = ["f32", *SHARES]
    with Device("cpu", 2) as device:
        found = {kind: {(row.component, row.stage): row for row in run_toys(device, kind)} for kind in kinds}
    lines = [f"| cpu | stage | at most | {' | '.join(kinds)} |", "|---" * (3 + len(kinds)) + "|"]
    most = [f"{100 * share:.0f} %" for share in SHARES.values()]
    lines.append(f"| | at most, of rounded weights | | | {' | '.join(most)} |")
    for (component, stage), row in found["f32"].items():
        cells = [_share(found[kind].get((component, stage))) for kind in kinds]
        lines.append(f"| {component} | {stage} | {row.allowed:.0e} | {' | '.join(cells)} |")
    return "\n".join(lines)


def device(name: str) -> str:
    """Return what `pyomni verify --device` prints, one column per type, and what the device is."""
    with Device(name, 2) as opened:
        found = {kind: list(run_toys(opened, kind)) for kind in DEVICE_KINDS}
    return device_table(name, f"{dict(devices())[name]}, ggml {build_about()['ggml']}", found)


def device_table(name: str, about: str, found: dict[str, list[Row]]) -> str:
    """Return the table of a device: its rows by type."""
    by_place = {kind: {(row.component, row.stage): row for row in rows} for kind, rows in found.items()}
    lines = [f"| {name} | stage | at most, f32 | {' | '.join(found)} |", "|---" * (3 + len(found)) + "|"]
    for (component, stage), row in by_place["f32"].items():
        cells = [_share(by_place[kind].get((component, stage))) for kind in found]
        lines.append(f"| {component} | {stage} | {row.allowed:.1e} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{about}."])


def device_differences(text: str, fresh: str) -> list[str]:
    """Return what is wrong with the recorded tables of devices, next to the CPU's table made now."""
    wrong, rows = [], _rows(fresh)
    begin = re.escape(BEGIN).replace(r"\{\}", r"device \w+")
    for stored in re.findall(rf"{begin}\n(.*?)\n{END}", text, re.DOTALL):
        if _rows(stored) != rows:
            wrong.append("device: the document has other rows than the CPU's table; record it again")
        wrong += [f"device: too large: {line}" for line in stored.splitlines() if MISSED in line]
    return wrong


def _rows(table: str) -> set[tuple[str, ...]]:
    """Return component and stage of each row."""
    cells = [line.split("|")[1:3] for line in table.splitlines()[2:] if line.startswith("| ")]
    return {(component.strip(), stage.strip()) for component, stage in cells if component.strip()}


def _cell(value: float, ok: bool) -> str:
    return f"{value:.1e}" if ok else f"{MISSED}{value:.1e}{MISSED}"


def _share(row: Row | None) -> str:
    if row is None:
        return ""
    text = f"{100 * row.reached:.2g} %" if row.relative else f"{row.reached:.1e}"
    return text if row.ok else f"{MISSED}{text}{MISSED}"


TABLES: dict[str, Callable[[], str]] = {"quantities": quantities, "types": types}


def differences(text: str, fresh: dict[str, str]) -> list[str]:
    """Return what is wrong with a document: tables of another shape, or figures that are too large."""
    wrong = []
    for name, table in fresh.items():
        _, _, rest = text.partition(BEGIN.format(name))
        stored = rest.partition(END)[0].strip()
        if _shape(stored) != _shape(table):
            wrong.append(f"{name}: the document has other rows or columns; --write makes it current")
        for where, made in (("in the document", stored), ("here", table)):
            wrong += [f"{name}, {where}: too large: {line}" for line in made.splitlines() if MISSED in line]
    return wrong


def _shape(table: str) -> list[str]:
    """Return a table without its figures."""
    return [re.sub(r"\d[\d.e+-]*", "#", line).replace("**", "") for line in table.splitlines()]


def written(text: str, name: str, table: str) -> str:
    """Return a document with a table in its place."""
    begin = BEGIN.format(name)
    before, found, rest = text.partition(begin)
    if not found:
        raise SystemExit(f"{DOC.name} has no line '{begin}'")
    return f"{before}{begin}\n{table}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    """Print the tables, write them into the document, or compare it with them."""
    text = DOC.read_text(encoding="utf-8")
    words = sys.argv[1:]
    if "--device" in words:
        name = words[words.index("--device") + 1]
        fresh = {f"device {name}": device(name)}
    else:
        fresh = {name: make() for name, make in TABLES.items()}
    if "--check" in words:
        wrong = differences(text, fresh) + device_differences(text, fresh["types"])
        print("\n".join(wrong or ["docs/parity.md is current"]))
        return 1 if wrong else 0
    if "--write" not in words:
        print("\n\n".join(fresh.values()))
        return 0
    for name, table in fresh.items():
        text = written(text, name, table)
    DOC.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
