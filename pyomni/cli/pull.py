"""``pyomni pull``: models by name, fetched and converted; what is here of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyomni.cli.common import FILE_TYPES, USAGE, CliError, flags, message, print_json
from pyomni.cli.progress import ByteBar

if TYPE_CHECKING:
    from pyomni.hub.store import Held

EXAMPLE = """\
examples:
  pyomni pull qwen3-tts-0.6b-customvoice:q8_0
  pyomni speak "Hello there." -m qwen3-tts-0.6b-customvoice:q8_0 --voice ryan
  pyomni pull owner/repo --type bf16 --discard
  pyomni pull --list
  pyomni pull --remove qwen3-tts-0.6b-customvoice"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "pull",
        help="download a model from the Hugging Face hub and convert it",
        description="Download a checkpoint from the Hugging Face hub, or the mirror $HF_ENDPOINT names, and "
        "convert it; load and -m find it under its name. An interrupted run goes on where it stopped. Models "
        "lie in $PYOMNI_MODELS, else in the user's data folder. The checkpoint stays beside them, so that "
        "another type costs no download, until --discard or --remove; where a download needs the room, those "
        "of other converted models go, oldest first.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument(
        "name",
        nargs="?",
        metavar="NAME[:TYPE]",
        help="a name that --list shows, or owner/repo; the type of the large matrices behind a colon",
    )
    p.add_argument(
        "--type",
        choices=FILE_TYPES,
        help="the same as :TYPE (default q8_0, q4_k for Qwen3-Omni)",
    )
    p.add_argument("--force", action="store_true", help="ask the hub again for a model that is here")
    p.add_argument(
        "--discard", action="store_true", help="remove the downloaded checkpoint once the model is here"
    )
    p.add_argument("--list", action="store_true", help="show the names, and what is here of each")
    p.add_argument(
        "--remove",
        metavar="NAME[:TYPE]",
        help="remove a model: one type, or without a type all of them and the downloaded checkpoint",
    )
    flags(p, model=False, device=False)


def run(args: argparse.Namespace) -> int:
    """Pull, list or remove."""
    asked = [
        word
        for word, given in (("NAME", args.name), ("--list", args.list), ("--remove", args.remove))
        if given
    ]
    if len(asked) != 1:
        found = " and ".join(asked) or "nothing to pull"
        raise CliError(USAGE, f"found {found}, expected one of NAME, --list or --remove NAME")
    if args.list:
        return _list(args)
    return _remove(args) if args.remove else _pull(args)


def _pull(args: argparse.Namespace) -> int:
    """Fetch and convert, or say that it is here."""
    from pyomni.hub.pulling import pull
    from pyomni.hub.store import held

    with ByteBar(show=not args.quiet and not args.json) as bar:
        try:
            path = pull(
                args.name,
                args.type,
                force=args.force,
                discard=args.discard,
                progress=bar.stage,
                tell=lambda text: message(args, text),
            )
        except KeyboardInterrupt:
            message(args, "what was downloaded is kept; the same command goes on from there")
            raise
    one = next(one for one in held() if one.path == path)
    if args.json:
        print_json({"name": one.name, "repo": one.repo, **_about(one)})
    elif not args.quiet:
        for file in one.files:
            print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {one.type}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    """Remove a model's files."""
    from pyomni.hub.names import Name
    from pyomni.hub.store import remove

    gone, freed = remove(Name.expect(args.remove))
    if args.json:
        print_json({"removed": [f"{one.name}:{one.type}" for one in gone], "bytes": freed})
    elif not args.quiet:
        what = ", ".join(f"{one.name}:{one.type}" for one in gone) or "the downloaded checkpoint"
        print(f"removed {what}, {freed / 1e6:.1f} MB")
    return 0


def _list(args: argparse.Namespace) -> int:
    """Print every name, with what is here of it."""
    from pyomni.folders import models_folder
    from pyomni.hub.checkpoint import LocalCheckpoint
    from pyomni.hub.names import KNOWN
    from pyomni.hub.store import downloads, fetched, folder_bytes, held

    here: dict[tuple[str, str], list[Held]] = {(name, repo): [] for name, (repo, _) in KNOWN.items()}
    for one in held():
        here.setdefault((one.name, one.repo), []).append(one)
    repos = {repo for _, repo in here}
    here |= {(repo, repo): [] for repo in fetched() if repo not in repos}  # half way, say
    kept = {repo: folder_bytes(downloads(repo)) for _, repo in here}
    whole = {repo: LocalCheckpoint(downloads(repo)).last() is not None for repo in kept}
    if args.json:
        models = [
            {
                "name": name,
                "repo": repo,
                "here": [_about(one) for one in ones],
                "downloaded_bytes": kept[repo],
                "downloaded_whole": whole[repo],
            }
            for (name, repo), ones in here.items()
        ]
        print_json({"folder": str(models_folder()), "models": models})
        return 0
    width = max(len(name) for name, _ in here)
    for (name, repo), ones in here.items():
        words = [f"{one.type} {one.n_bytes / 1e6:.1f} MB" for one in ones]
        if kept[repo]:
            words.append(f"{'' if whole[repo] else 'part of the '}checkpoint {kept[repo] / 1e6:.1f} MB")
        print(f"{name:{width}}  {', '.join(words) or '-'}")
    message(args, f"models lie in {models_folder()}")
    return 0


def _about(one: Held) -> dict[str, Any]:
    return {
        "type": one.type,
        "revision": one.revision,
        "bytes": one.n_bytes,
        "files": [str(path) for path in one.files],
    }
