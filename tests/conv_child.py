"""Decodes toy codecs in a process of its own: which kernels run is chosen once per process.

    PYOMNI_CPU_VARIANT=avx2 python conv_child.py OUT.npz [fast] < jobs.json

A job is a file, codes, the frames of each call, threads, and the stages to keep of the first call.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from pyomni._binding import Device, Model
from pyomni.components.codec import CodecDecoder


def main() -> None:
    """Run the jobs and write ``{name}/pcm`` and ``{name}/{stage}``."""
    out = {}
    for job in json.load(sys.stdin):
        model = Model(Device("cpu", job["threads"]), job["path"], job["component"], fast="fast" in sys.argv)
        codec = CodecDecoder(model)
        for stage in job["stages"]:
            codec.session.tap(stage)
        codes, parts = np.array(job["codes"], np.int32), []
        for n in job["widths"]:
            parts.append(codec.decode(codes[:n]))
            codes = codes[n:]
            for stage in job["stages"] if len(parts) == 1 else ():
                out[f"{job['name']}/{stage}"] = codec.session.read_tap(stage)
        out[f"{job['name']}/pcm"] = np.concatenate(parts)
    np.savez(sys.argv[1], **out)


if __name__ == "__main__":
    main()
