"""Code2wav of Qwen3-Omni, `Qwen3OmniMoeCode2Wav`: sizes, GGUF keys and tensors.

The trunk of the Qwen3-TTS codec decoder behind another front: one table with `codebook_size` rows for each
group, of which a frame takes the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyomni.convert.json_config import Config
from pyomni.convert.plan import Planned, copy
from pyomni.convert.tensors_talker import MAX_GROUPS, Stack
from pyomni.convert.tensors_trunk import Trunk
from pyomni.convert.writer import Value

__all__ = ["Code2Wav"]

NAME = "code2wav"
SAMPLE_RATE = 24000  # no configuration says it; the model card and the official examples write files of it


@dataclass(frozen=True)
class Code2Wav:
    """Sizes of code2wav."""

    trunk: Trunk
    n_groups: int
    codebook_size: int

    @classmethod
    def read(cls, c: Config) -> Code2Wav:
        """Sizes from `code2wav_config` of `config.json`.

        Raises
        ------
        ModelFormatError, UnsupportedModel
        """
        sizes = cls(
            trunk=Trunk.read(c, NAME, NAME, SAMPLE_RATE, Stack.read(_with_head_dim(c))),
            n_groups=c.whole("num_quantizers", high=MAX_GROUPS),
            codebook_size=c.whole("codebook_size"),
        )
        if sizes.lead >= sizes.trunk.hop:
            raise c.fail("upsampling_ratios", "so much upsampling that a single frame outlasts the trims")
        return sizes

    @property
    def lead(self) -> int:
        """Samples that a stream's first frame falls short of the hop: each wave block drops one stride."""
        n = 0
        for rate in self.trunk.upsample_rates:
            n = (n + 1) * rate
        return n

    def keys(self) -> dict[str, Value]:
        """GGUF keys and their values."""
        return {
            **self.trunk.keys(),
            f"{NAME}.n_groups": self.n_groups,
            f"{NAME}.codebook_size": self.codebook_size,
        }

    def tensors(self) -> list[Planned]:
        """GGUF tensors, in file order."""
        shape = self.n_groups * self.codebook_size, self.trunk.latent_dim
        table = copy(f"{NAME}.code_embd.weight", f"{NAME}.code_embedding.weight", shape)
        return [table, *self.trunk.tensors()]


def _with_head_dim(c: Config) -> Config:
    """`c` with the width of a head, which is optional there: without it the heads share the width."""
    if "head_dim" in c:
        return c
    n_embd, n_head = c.whole("hidden_size"), c.whole("num_attention_heads")
    if n_embd % n_head:
        raise c.fail("hidden_size", f"a multiple of num_attention_heads, {n_head}")
    return Config(c.path, {**c.values, "head_dim": n_embd // n_head}, c.where)
