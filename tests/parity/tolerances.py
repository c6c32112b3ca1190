"""How far ours may be from the official output, and why. Float32 on the CPU, largest absolute difference.

The figures are those the best port claims, at outputs of ordinary magnitude (docs/parity.md states each).
float32 keeps 24 bits: at magnitude 4 neighbouring numbers are 4.8e-7 apart, so 1e-6 is two of those steps.
"""

from __future__ import annotations

from typing import NamedTuple


class Tolerance(NamedTuple):
    """A largest absolute difference and its reason."""

    value: float
    reason: str


TOLERANCES = {
    "prompt rows": Tolerance(2e-6, "one embedding row through two matrices, summed with another row"),
    "talker blocks": Tolerance(4e-5, "the residual stream: what hidden is made of, before the last norm"),
    "talker hidden": Tolerance(4e-5, "rounding of every layer, amplified by the norms between them"),
    "talker logits": Tolerance(4e-5, "hidden times a head of gain 3: magnitude 10"),
    "predictor blocks": Tolerance(3e-5, "as the talker's, fewer layers"),
    "predictor logits": Tolerance(3e-5, "as the talker's, fewer layers; all heads, teacher-forced"),
    "quantizer decode": Tolerance(1e-5, "a sum of as many rows as there are books, through one matrix"),
    "causal conv": Tolerance(1e-6, "one dot product of kernel times channels"),
    "transposed conv": Tolerance(
        1e-6, "one dot product of channels, two of them summed where strides overlap"
    ),
    "pre-transformer": Tolerance(1e-6, "a few layers behind layer scales that keep each one's share small"),
    "SnakeBeta": Tolerance(1e-6, "elementwise; sine of arguments up to some tens"),
    "ConvNeXt": Tolerance(1e-5, "a norm over channels and two matrices behind a small gamma"),
    "residual unit": Tolerance(1e-5, "two activations and two convolutions"),
    "decoder block": Tolerance(1e-5, "an activation, a transposed convolution and three residual units"),
    "running stages": Tolerance(
        1e-5, "a tap of the running decoder: rounding of all stages before it, magnitude 5"
    ),
    "full decoder": Tolerance(3e-6, "all of the above, at PCM magnitude"),
    "codec encoder": Tolerance(1e-5, "convolutions, layers and a strided convolution, at rms of order 1"),
    "code2wav": Tolerance(3e-6, "codes to samples, clamped, at PCM magnitude"),
    "code2wav stages": Tolerance(1e-5, "a tap of the running network, as running stages"),
    "codes to waveform": Tolerance(2e-6, "the same as a user gets it, after the clamp"),
}
