"""The vision encoder fails well: before any graph runs, with a class and words, and goes on afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from mutate import DROP, rewrite

from pyomni import errors
from pyomni._binding import Device, Model
from pyomni.components.encoder import Encoder
from pyomni.components.vision import VisionEncoder
from pyomni.convert.json_config import read_config
from pyomni.convert.omni_vision import OmniVision
from pyomni.metadata import Metadata
from pyomni.verify import toy_vision as vision
from pyomni.vision.frontend import VisionFrontEnd

TINY, GRID = "vision_tiny", (1, 4, 6)
U32, F32 = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32


@pytest.fixture(scope="module")
def encoder() -> VisionEncoder:
    return vision.encoder(TINY)


def patches(n: int = 24, width: int = 1536) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, width)).astype(np.float32)


def spoiled(value: float) -> np.ndarray:
    out = patches()
    out[3, 5] = value
    return out


@pytest.mark.parametrize(
    ("given", "grid", "words"),
    [
        (patches(20), GRID, "20 rows, expected as many as the grid 1 x 4 x 6 has places"),
        (patches(24), (2, 4, 6), "24 rows, expected as many as the grid 2 x 4 x 6"),
        (patches(24), (1, 3, 8), "grid is 1 x 3 x 8, expected .* multiples of 2"),
        (patches(24), (0, 4, 6), "grid is 0 x 4 x 6, expected"),
        (patches(24), (1, -4, -6), "grid is 1 x -4 x -6, expected"),
        (patches(24), (2**31 - 1, 2**31 - 2, 2**31 - 2), "24 rows, expected as many as the grid"),
        (patches(24), (1, 2**40, 2), "expected 32-bit integers"),
        (patches(24), (4, 6), "the grid has 2 sides, expected 3"),
        (patches(24), (1.0, 4.0, 6.0), "are float64, expected integers"),
        (patches(0), (1, 0, 0), "0 rows, expected 4 or more"),
        (patches(24, 1535), GRID, r"rows have shape \[24, 1535\], expected \[n, 1536\]"),
        (patches(24)[0], GRID, "expected 2 axes"),
        (spoiled(np.nan), GRID, "row 3, column 5 is -?nan, expected a finite number"),
        (spoiled(np.inf), GRID, "row 3, column 5 is inf"),
    ],
)
def test_bad_patches(encoder: VisionEncoder, given: np.ndarray, grid: tuple, words: str) -> None:
    expected = encoder.encode(patches(), GRID)
    with pytest.raises(errors.ArgumentError, match=words):
        encoder.encode(given, grid)
    np.testing.assert_array_equal(encoder.encode(patches(), GRID).rows, expected.rows)


def test_no_frames(encoder: VisionEncoder) -> None:
    with pytest.raises(errors.ArgumentError, match="no frames were given"):
        encoder.encode_frames([], (4, 6))


def test_patches_are_no_plain_rows(encoder: VisionEncoder) -> None:
    with pytest.raises(errors.ArgumentError, match="no grid was given, expected how many frames"):
        encoder.session.encode(patches())


def test_plain_rows_are_no_patches(tmp_path: Path) -> None:
    from toys import variant

    speaker = Model(Device("cpu", 1), variant("base"), "speaker_encoder")
    with pytest.raises(errors.ArgumentError, match="this encoder's rows are no patches"):
        VisionEncoder(speaker)
    with pytest.raises(errors.ArgumentError, match="a grid was given, but this encoder's rows have none"):
        Encoder(speaker).session.encode_grid(np.zeros((24, 128), np.float32), GRID)


def test_a_cancelled_call_breaks_nothing(encoder: VisionEncoder) -> None:
    expected, seen, grid = encoder.encode(patches(), GRID), [], (40, 32, 32)
    film = np.zeros((np.prod(grid), 1536), np.float32)

    def work() -> None:
        try:
            encoder.encode(film, grid)
        except errors.PyOmniError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        encoder.cancel()
        time.sleep(0.001)
    assert [type(error) for error in seen] == [errors.Cancelled]
    np.testing.assert_array_equal(encoder.encode(patches(), GRID).rows, expected.rows)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("merge", DROP, r"key 'vision_encoder\.merge' is missing"),
        ("n_deepstack", DROP, r"key 'vision_encoder\.n_deepstack' is missing"),
        ("n_deepstack", (3, U32), "deepstack has 2 numbers, expected n_deepstack, 3"),
        ("n_layer", (1, U32), "deepstack has 2 numbers, .* at most n_layer, 1"),
        ("n_layer", (5000, U32), "n_layer is 5000"),
        ("head_dim", (18, U32), "head_dim is 18, expected a multiple of 4"),
        ("head_dim", (20, U32), r"tensor 'vision_encoder\.blk\.0\.attn_qkv\.weight' has shape"),
        ("layer_norm_eps", (0.0, F32), "is 0, expected a number above 0"),
        ("grid_side", (13, U32), r"tensor 'vision_encoder\.pos_embd\.weight' has shape \[72, 144\]"),
        ("patch_size", (14, U32), r"tensor 'vision_encoder\.patch_embd\.weight' has shape \[1536, 72\]"),
        ("merge", (0, U32), "is 0, expected 1 to"),
    ],
)
def test_damaged_keys(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = rewrite(vision.gguf(TINY), tmp_path / "k.gguf", keys={f"vision_encoder.{key}": value})
    with pytest.raises(errors.ModelFormatError, match=words):
        Model(Device("cpu", 1), path, "vision_encoder")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("image.mean", DROP, r"key 'vision_encoder\.image\.mean' is missing, expected arr\[f32\]"),
        ("image.std", (0.5, F32), r"key 'vision_encoder\.image\.std' is f32, expected arr\[f32\]"),
        ("video.max_pixels", DROP, r"key 'vision_encoder\.video\.max_pixels' is missing"),
        ("patch_size", (0, U32), "the sizes of a patch 0, 2 and 2, expected"),
    ],
)
def test_a_damaged_front_end(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = rewrite(vision.gguf(TINY), tmp_path / "k.gguf", keys={f"vision_encoder.{key}": value})
    with pytest.raises(errors.ModelFormatError, match=words):
        VisionFrontEnd.read(Metadata.read(path))


@pytest.mark.parametrize("tensor", ["blk.2.ffn_up.bias", "deepstack.1.fc2.weight", "merger.norm.weight"])
def test_missing_tensor_is_named(tmp_path: Path, tensor: str) -> None:
    name = f"vision_encoder.{tensor}"
    path = rewrite(vision.gguf(TINY), tmp_path / "t.gguf", tensors={name: lambda a: None})
    with pytest.raises(errors.ModelFormatError, match=rf"tensor '{name}' of shape \[.*\] is missing"):
        Model(Device("cpu", 1), path, "vision_encoder")


@pytest.mark.parametrize(
    ("where", "key", "value", "error", "words"),
    [
        ("vision", "hidden_act", "gelu", errors.UnsupportedModel, "hidden_act is 'gelu', expected 'gelu_pyt"),
        ("vision", "num_position_embeddings", 145, errors.ModelFormatError, "expected a square number"),
        ("vision", "hidden_size", 74, errors.ModelFormatError, "expected a multiple of four times num_heads"),
        ("vision", "out_hidden_size", 65, errors.ModelFormatError, "expected the thinker's hidden_size, 64"),
        ("vision", "deepstack_visual_indexes", [2, 1], errors.ModelFormatError, "expected ascending block"),
        ("vision", "deepstack_visual_indexes", [4], errors.ModelFormatError, "from 0 to 3"),
        ("vision", "deepstack_visual_indexes", None, errors.ModelFormatError, "expected ascending block"),
        ("vision", "depth", None, errors.ModelFormatError, "'thinker_config.vision_config.depth'"),
        ("images", "image_mean", [0.5, 0.5], errors.ModelFormatError, "expected three numbers"),
        ("images", "image_std", [0.5, 0.5, 0], errors.ModelFormatError, "expected three numbers from 1e-06"),
        ("images", "min_pixels", None, errors.ModelFormatError, "'min_pixels'"),
        ("images", "min_pixels", 2**30, errors.ModelFormatError, "expected at most max_pixels, 12845056"),
        ("images", "patch_size", 14, errors.ModelFormatError, "expected vision_config's, 16"),
        ("images", "resample", 2, errors.UnsupportedModel, "resample is 2, expected 3"),
        ("images", "rescale_factor", 1.0, errors.UnsupportedModel, "rescale_factor is 1.0, expected 1/255"),
    ],
)
def test_configs_that_cannot_be(where: str, key: str, value: Any, error: type, words: str) -> None:
    config = read_config(vision.folder(TINY) / "config.json")
    images = read_config(vision.folder(TINY) / "preprocessor_config.json")
    values = images.values if where == "images" else config.values["thinker_config"]["vision_config"]
    values[key] = value
    with pytest.raises(error, match=words):
        OmniVision.read(config, images)


def test_sizes_may_be_where_newer_files_have_them() -> None:
    config = read_config(vision.folder(TINY) / "config.json")
    images = read_config(vision.folder(TINY) / "preprocessor_config.json")
    del images.values["min_pixels"], images.values["max_pixels"]
    images.values["size"] = {"shortest_edge": 4096, "longest_edge": 65536}
    sizes = OmniVision.read(config, images)
    assert (sizes.min_pixels, sizes.max_pixels) == (4096, 65536)
