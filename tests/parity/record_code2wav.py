"""Record what the official code2wav does with the toy models and codes of `toy_code2wav`.

    python tests/parity/record_code2wav.py [OUT]

Needs torch and transformers 4.57. Writes ``code2wav_{case}.npz`` into OUT, by default the committed
``tests/parity/recorded``. Always one call of `Qwen3OmniMoeCode2Wav`: its `chunked_decode` cuts samples out at
every border. Arrays:

| array | shape | what |
|---|---|---|
| ``{n}.pcm`` | [samples / step] | n frames in one call, every so many samples (`code2wav_cases.LENGTHS`) |
| ``{n}.samples`` | | how many there were |
| ``tap.{stage}`` | [C, T] | every stage of `n_tapped` frames in one call |
| ``weights_sha256`` | | of the weights |
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parity import recordings

from pyomni.convert.json_config import read_config
from pyomni.convert.safetensors_file import Checkpoint
from pyomni.verify import toy_code2wav as code2wav_cases

Arrays = dict[str, np.ndarray]


class OfficialCode2Wav:
    """`Qwen3OmniMoeCode2Wav` of a folder, float32, eager attention."""

    def __init__(self, folder: Path) -> None:
        # the module behind is imported with torchvision, whose wheel fails beside a torch for the CPU
        sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("_meta_registrations"))
        import torch
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as official
        from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeCode2WavConfig

        torch.set_num_threads(1)
        config = Qwen3OmniMoeCode2WavConfig(
            **read_config(folder / "config.json").sub("code2wav_config").values
        )
        self._torch = torch
        self.model = official.Qwen3OmniMoeCode2Wav._from_config(config, attn_implementation="eager")
        stored = Checkpoint(folder)
        weights = {
            name.removeprefix("code2wav."): torch.from_numpy(stored[name].f32().reshape(stored[name].shape))
            for name in stored
            if name.startswith("code2wav.")
        }
        self.model.load_state_dict(weights, strict=True)
        self.model.float().eval()

    def pcm(self, codes: np.ndarray) -> np.ndarray:
        """Decode codes [n, G] in one call."""
        with self._torch.no_grad():
            wave = self.model(self._torch.from_numpy(codes.T[None].astype(np.int64)))
        return wave[0, 0].numpy()

    def stages(self) -> dict[str, Any]:
        """Return the module behind each stage, by the stage's name."""
        m = self.model
        out = {"transformer": m.pre_transformer}
        for i, (conv, mix) in enumerate(m.upsample):
            out |= {f"up.{i}.conv": conv, f"up.{i}.out": mix}
        out["conv_in"] = m.decoder[0]
        for i, block in enumerate(m.decoder[1:-2]):
            snake, conv, *units = block.block
            out |= {f"wave.{i}.snake": snake, f"wave.{i}.conv": conv, f"wave.{i}.out": block}
            out |= {f"wave.{i}.res.{j}": unit for j, unit in enumerate(units)}
        return out | {"pcm_raw": m.decoder[-1]}

    def tapped(self, codes: np.ndarray) -> tuple[np.ndarray, Arrays]:
        """Decode codes [n, G] in one call; also return every stage's output [C, T]."""
        taps: Arrays = {}

        def keep(name: str) -> Any:
            def hook(module: Any, args: Any, kwargs: Any, out: Any) -> None:
                if name == "transformer":
                    taps["code_embd"] = kwargs["inputs_embeds"][0].T.numpy().copy()
                    out = out.last_hidden_state.transpose(1, 2)
                taps[name] = out[0].numpy().copy()

            return hook

        handles = [
            module.register_forward_hook(keep(name), with_kwargs=True)
            for name, module in self.stages().items()
        ]
        try:
            return self.pcm(codes), taps
        finally:
            for handle in handles:
                handle.remove()


def record(name: str) -> Arrays:
    """Record one case."""
    official = OfficialCode2Wav(code2wav_cases.folder(name))
    arrays: Arrays = {"weights_sha256": np.array(code2wav_cases.weights_hash(name))}
    for n, step in code2wav_cases.LENGTHS.items():
        pcm = official.pcm(code2wav_cases.codes(name, n))
        arrays |= {f"{n}.pcm": pcm[::step].copy(), f"{n}.samples": np.array(pcm.size)}
    if n_tapped := code2wav_cases.CASES[name].n_tapped:
        taps = official.tapped(code2wav_cases.codes(name, n_tapped))[1]
        arrays |= {f"tap.{stage}": tap for stage, tap in taps.items()}
    return arrays


def main(out: Path | None = None) -> None:
    """Record every case into a folder."""
    for name in code2wav_cases.CASES:
        recordings.store(f"code2wav_{name}", record(name), out)


if __name__ == "__main__":
    main(*(Path(arg) for arg in sys.argv[1:]))
