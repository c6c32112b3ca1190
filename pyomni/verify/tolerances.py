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
    "mel": Tolerance(1e-4, "a logarithm; the official side's float32 transform is its own noise"),
    "speaker embedding": Tolerance(2e-5, "rounding of every convolution, averaged over time"),
    "audio features": Tolerance(2e-5, "rounding of every layer, behind the norm of the last"),
    "vision rows": Tolerance(2e-5, "rounding of every block: rows of magnitude 5 after some layers"),
    "projected rows": Tolerance(5e-6, "two matrices with an activation between them"),
    "hidden": Tolerance(5e-5, "rounding of every layer; accepted rows reach magnitude 10"),
    "logits": Tolerance(5e-5, "hidden times rows of length 3: magnitude 10, and 50 where channel 0 loses"),
    "greedy codes": Tolerance(0.0, "shares of frames that differ: the closest choice is far above rounding"),
    "codes": Tolerance(0.0, "shares of codes that differ: the closest choice is far above rounding"),
    "codes to waveform": Tolerance(2e-6, "the same as a user gets it, after the clamp"),
}

#: By type, how large a difference may be as a share of the output, both as root mean squares: what
#: products of rounded weights, and of inputs rounded to fit them, come to at toy size, where rows are
#: short and an expert more or less counts. About twice the largest that was reached (docs/parity.md); a
#: wrong kernel is off by the whole output.
SHARES = {"f16": 0.01, "bf16": 0.03, "q8_0": 0.25, "q6_k": 0.25}
SHARES |= dict.fromkeys(("q5_k", "q4_k", "q4_0", "iq4_nl"), 0.5)

#: What every type stores and computes in float32, or in numpy before a model runs.
FLOAT_IN_EVERY_TYPE = frozenset(
    {"mel", "quantizer decode", "running stages", "full decoder", "codec encoder", "codes",
     "speaker embedding", "code2wav", "codes to waveform"}
)  # fmt: skip

#: On devices other than the CPU, where products of floats may be of TF32: a share of the output's rms, and of
#: codes.
ELSEWHERE, CODES_ELSEWHERE = 1e-2, 0.5


def is_relative(quantity: str, kind: str) -> bool:
    """Return whether differences of a quantity are taken as shares, in a file of this type."""
    return kind != "f32" and quantity not in FLOAT_IN_EVERY_TYPE


def allowed(quantity: str, rms: float, kind: str = "f32", device: str = "cpu") -> float:
    """Return the largest difference that passes, or the largest share where it is taken as one.

    Parameters
    ----------
    quantity : key of `TOLERANCES`
    rms : root mean square of the official output
    kind : type of the file
    device : name of the device it ran on
    """
    if is_relative(quantity, kind):
        return SHARES[kind]
    exact = TOLERANCES[quantity].value
    if device == "cpu" or quantity == "mel":
        return exact
    return CODES_ELSEWHERE if exact == 0 else exact + ELSEWHERE * rms
