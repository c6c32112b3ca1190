"""``pyomni imatrix``: which columns of a model's matrices matter, for ``pyomni quantize``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pyomni.cli.common import INPUT, CliError, count, flags, print_json

EXAMPLE = """\
example:
  pyomni imatrix model-bf16.gguf texts.txt -o model.imatrix.gguf"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "imatrix",
        help="measure which weights matter, for quantize",
        description="Let a model speak texts, or answer them aloud where it converses, and sum up what goes "
        "into each matrix: an importance matrix, as GGUF in the layout of llama.cpp's.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument(
        "path", metavar="MODEL", help="model file or a pulled model's name; bf16 or f32 tell the most"
    )
    p.add_argument("texts", metavar="TEXTS", help="file with one text a line")
    p.add_argument("-o", "--output", required=True, metavar="FILE", help="appears whole or not at all")
    p.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the first text, the next has N + 1 (default 1)"
    )
    p.add_argument(
        "--max-frames",
        type=count,
        metavar="N",
        help="frames of a text, at most; of a model that converses the tokens of an answer too",
    )
    p.add_argument("--voice", metavar="NAME", help="who speaks (default: the model's first speaker)")
    p.add_argument("--language", help="of the texts (default: the model decides)")
    p.add_argument("--instruct", metavar="TEXT", help="how to speak; voice design models need it")
    flags(p, model=False)


def run(args: argparse.Namespace) -> int:
    """Collect and write."""
    from pyomni.api import model_path
    from pyomni.convert.writer import check_place
    from pyomni.imatrix import collect
    from pyomni.quantize.importance import write_importance

    texts = _texts(Path(args.texts))
    check_place(Path(args.output))  # now, not when the work is done
    bar: Any = None
    if not args.quiet and not args.json and sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(total=len(texts), unit="text", file=sys.stderr, leave=False)
    try:
        made = collect(
            model_path(args.path),
            texts,
            dataset=Path(args.texts).name,
            seed=args.seed,
            max_frames=args.max_frames,
            voice=args.voice,
            language=args.language,
            instruct=args.instruct,
            device=args.device,
            threads=args.threads,
            progress=None if bar is None else lambda done, total: bar.update(done - bar.n),
        )
    finally:
        if bar is not None:
            bar.close()
    write_importance(args.output, made)
    rows = int(max(seen.counts.max() for seen in made.seen.values()))
    if args.json:
        print_json({"output": args.output, "texts": made.n_texts, "matrices": len(made.seen), "rows": rows})
    elif not args.quiet:
        print(f"{args.output}: {len(made.seen)} matrices, {made.n_texts} texts, up to {rows} rows each")
    return 0


def _texts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CliError(INPUT, f"{path}: cannot be read ({reason}), expected one text a line") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise CliError(INPUT, f"{path}: holds no text, expected one a line")
    return texts
