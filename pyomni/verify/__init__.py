"""Does this machine compute what the official packages computed? Their recordings, repeated here.

    with Device("cpu") as device:
        for row in run_toys(device):
            print(row.ok, row.component, row.stage, row.reached, row.allowed)

`toys` runs the checks on toy models of every component, which are made here from a seed: `toy_*` define
them, `recording` holds what was recorded, `tolerances` what is allowed. `codes` compares a real model with
greedy codes that the official package gave. The tests of `tests/parity` stand on the same files and look
closer.
"""
