"""A large table is looked up in its file: of its pages only those that were asked for take memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_gguf

from pyomni._binding import Device, Model
from pyomni.components.lm import TEXT, DecoderLM

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at /proc/self/maps")

N_TEXT = 66_000  # rows of 256 floats: 64.5 MiB


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(
        tmp_path_factory.mktemp("table") / "large.gguf", "f32", text_vocab=N_TEXT, text_hidden=256
    )


def rows_of(path: Path, mapped: bool | None) -> tuple[np.ndarray, bool]:
    with Device("cpu", 1) as device:
        model = Model(device, path, "talker", mapped=mapped)
        rows = DecoderLM(model, 16).embed(TEXT, np.array([0, 1, N_TEXT - 1, 700], np.int32))
        return rows, str(path) in Path("/proc/self/maps").read_text()


def test_a_large_table_stays_in_its_file(path: Path) -> None:
    found, mapped = rows_of(path, None)
    read, also = rows_of(path, False)
    assert (mapped, also) == (True, False)
    np.testing.assert_array_equal(found, read)
    assert len(np.unique(found, axis=0)) == 4
