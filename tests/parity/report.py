"""Print the table of docs/parity.md from what this machine reaches now.

    python tests/parity/report.py [--write]

``--write`` puts it into docs/parity.md between its two markers. Needs pyomni installed; no torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import figures

from pyomni.verify import recording
from pyomni.verify import toy_speech as cases
from pyomni.verify.speech_engine import Ours, gguf
from pyomni.verify.tolerances import TOLERANCES

DOC = Path(__file__).resolve().parents[2] / "docs" / "parity.md"
BEGIN, END = "<!-- begin: python tests/parity/report.py --write -->", "<!-- end -->"


def table() -> str:
    """Return the tables in Markdown: one row per quantity, one per greedy run."""
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
        cells = [f"{max(one.reached for one in reached[quantity][name]):.1e}" for name in names]
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


def main() -> None:
    """Print the tables, or write them into the document."""
    text = table()
    if "--write" not in sys.argv[1:]:
        print(text)
        return
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOC.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
