"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyomni._binding import Device


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device("cpu", 2) as d:
        yield d
