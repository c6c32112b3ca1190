"""Record what the official processors make of the images and videos of `eyes.py`.

    python tests/parity/record_eyes.py [OUT]

Needs torch, torchvision and transformers 4.57. Writes ``eyes.npz`` into OUT, by default the committed
``tests/parity/recorded``. Arrays, for patches of 2 frames (of an image
both are one, stored once) of 16 x 16 pixels:

| array | shape | what |
|---|---|---|
| ``image.{h}x{w}``, ``video.{n}x{h}x{w}`` | uint8 [n, 3, 2, 16, 16] | patches, as levels of 256 |
| ``grid.{name}`` | [3] | their grid |
| ``sizes.{i}`` | [n, 2] | the fitted sizes of `SIZES` under `BOUNDS` |
| ``levels`` | [256] | what each level becomes |
"""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from parity import eyes, recordings
from PIL import Image
from tiny_omni import omni_checkpoint

Arrays = dict[str, np.ndarray]


def levels(values: np.ndarray) -> np.ndarray:
    """Return normalised values as the levels they were made of."""
    out = np.rint((values * 0.5 + 0.5) * 255)
    assert np.abs((out / 255 - 0.5) / 0.5 - values).max() < 1e-5
    return out.astype(np.uint8).reshape(-1, 3, 2, 16, 16)


def record() -> Arrays:
    """Return the arrays."""
    # torchvision's wheel fails on import beside a torch for the CPU, for the sake of this module
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("_meta_registrations"))
    from transformers import Qwen2VLImageProcessorFast, Qwen2VLVideoProcessor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    torch.set_num_threads(1)
    out: Arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        omni_checkpoint(Path(folder), seed=1)
        images = Qwen2VLImageProcessorFast.from_pretrained(folder)
        videos = Qwen2VLVideoProcessor.from_pretrained(folder)
    for h, w in eyes.IMAGES:
        made = images(images=[Image.fromarray(eyes.picture(h, w))], return_tensors="pt")
        patches = levels(made["pixel_values"].numpy())
        assert (patches[:, :, 0] == patches[:, :, 1]).all()
        out[f"image.{h}x{w}"] = patches[:, :, :1]
        out[f"grid.{h}x{w}"] = made["image_grid_thw"][0].numpy()
    size = dict(zip(("shortest_edge", "longest_edge"), eyes.VIDEO_PIXELS, strict=True))
    for n, h, w in eyes.VIDEOS:
        frames = torch.from_numpy(eyes.film(n, h, w)).permute(0, 3, 1, 2)
        made = videos(videos=[frames], size=size, return_tensors="pt")
        out[f"video.{n}x{h}x{w}"] = levels(made["pixel_values_videos"].numpy())
        out[f"grid.{n}x{h}x{w}"] = made["video_grid_thw"][0].numpy()
    for i, (low, high) in enumerate(eyes.BOUNDS):
        out[f"sizes.{i}"] = np.array([smart_resize(h, w, 32, low, high) for h, w in eyes.SIZES])
    ramp = np.arange(256, dtype=np.uint8).repeat(256).reshape(256, 256, 1).repeat(3, axis=2)
    made = images(images=[Image.fromarray(ramp)], return_tensors="pt")["pixel_values"].numpy()
    out["levels"] = np.unique(made)
    assert out["levels"].shape == (256,)
    return out


def main() -> None:
    """Write the recording."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else recordings.FOLDER
    np.savez_compressed(folder / "eyes.npz", **record())
    print((folder / "eyes.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
