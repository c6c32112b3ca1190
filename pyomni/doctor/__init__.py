"""Is this machine, this install and this file fit? Checks as values, each with its reason.

    for check in examine("model.gguf"):
        print(check.status, check.name, check.measured)

One module per family: `install` (what was built, devices), `arithmetic` (ops against numpy), `file` (sizes,
finite weights, codebooks), `codec` (silence, held frames, streams), `reference` (official codes), `speech` (a
spoken sentence), `quantised` (the file's types against float). `plots` draws what they saw; it needs
matplotlib, nothing else does.
"""

from pyomni.doctor.check import FAIL, OK, SKIP, WARN, Check
from pyomni.doctor.examine import Findings, examine

__all__ = ["FAIL", "OK", "SKIP", "WARN", "Check", "Findings", "examine"]
