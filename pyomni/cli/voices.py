"""``pyomni voices``: the speakers of a model and the voices the user saved."""

from __future__ import annotations

import argparse
from typing import Any

from pyomni.cli.common import (
    USAGE,
    CliError,
    check_clone_flags,
    clone_flags,
    clone_voice,
    flags,
    open_model,
    print_json,
)
from pyomni.errors import ArgumentError

EXAMPLE = """\
examples:
  pyomni voices model.gguf
  pyomni voices save ann --clone ann.wav --transcript "What ann.wav says." -m base.gguf
  pyomni speak "Hello there." --voice ann -m base.gguf
  pyomni voices remove ann"""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "voices",
        help="list the speakers of a model and the saved voices; save and remove voices",
        description="List the speakers of a model and the voices saved on this machine; save or remove one. "
        "Saved voices lie in $PYOMNI_VOICES, else in the user's data folder.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    p.add_argument(
        "words",
        nargs="*",
        metavar="MODEL | save NAME | remove NAME",
        help="the model whose speakers to list (else -m, $PYOMNI_MODEL, the packaged voice), or what to do",
    )
    clone_flags(p)
    p.add_argument("--design", metavar="TEXT", help="save a voice described in words (voice design models)")
    flags(p)


def run(args: argparse.Namespace) -> int:
    """List, save or remove."""
    words = args.words
    if words and words[0] in ("save", "remove"):
        if len(words) != 2:
            raise CliError(USAGE, f"found {len(words) - 1} names after {words[0]}, expected one")
        return _save(args, words[1]) if words[0] == "save" else _remove(args, words[1])
    if len(words) > 1:
        raise CliError(USAGE, f"found {' '.join(words)!r}, expected MODEL, save NAME or remove NAME")
    if args.clone is not None or args.design is not None or args.transcript is not None:
        raise CliError(USAGE, "found a voice and no name, expected voices save NAME with --clone or --design")
    return _list(args, words[0] if words else args.model)


def _save(args: argparse.Namespace, name: str) -> int:
    """Make a voice and save it under a name."""
    from pyomni.voices import Voice, library

    check_clone_flags(args)
    if (args.clone is None) == (args.design is None):
        found = "neither" if args.clone is None else "both"
        raise CliError(USAGE, f"found {found} of --clone and --design, expected one of them")
    library.path_of(name)  # before the work
    if args.design is not None:
        voice = Voice.design(args.design, name=name)
    else:
        with open_model(args, components=()) as model:
            voice = clone_voice(model, args, name)
    path = library.save(name, voice)
    _tell(args, {"saved": name, "kind": voice.kind, "path": str(path)}, f"saved {name} in {path}")
    return 0


def _remove(args: argparse.Namespace, name: str) -> int:
    """Delete a saved voice."""
    from pyomni.voices import library

    path = library.remove(name)
    _tell(args, {"removed": name, "path": str(path)}, f"removed {name}")
    return 0


def _tell(args: argparse.Namespace, value: dict[str, Any], text: str) -> None:
    if args.json:
        print_json(value)
    elif not args.quiet:
        print(text)


def _list(args: argparse.Namespace, path: str | None) -> int:
    """Print the speakers, one per line, then the saved voices."""
    from pyomni.api import model_path
    from pyomni.metadata import SpeechMetadata

    meta = SpeechMetadata.read(model_path(path))
    saved = _saved()
    if args.json:
        speakers = [{"name": name, "dialect": meta.dialects.get(name) or None} for name in meta.speakers]
        print_json({"model_type": meta.model_type, "speakers": speakers, "saved": saved})
        return 0
    for name in meta.speakers:
        dialect = meta.dialects.get(name)
        print(f"{name} ({dialect})" if dialect else name)
    if not meta.speakers and not args.quiet:
        print(f"no preset speakers: this is a {meta.model_type} model")
    for one in saved:
        print(f"{one['name']} (saved, {one['about']})")
    return 0


def _saved() -> list[dict[str, Any]]:
    """Return the saved voices; one that cannot be read is listed with its reason."""
    from pyomni.voices import Voice, library

    out = []
    for name in library.names():
        one: dict[str, Any] = {"name": name, "path": str(library.path_of(name))}
        try:
            voice = Voice.load(name)
        except ArgumentError as error:
            out.append({**one, "kind": None, "about": str(error)})
            continue
        about = {
            "clone": "cloned in context" if voice.in_context else "cloned",
            "design": voice.description,
        }.get(voice.kind, voice.kind)
        out.append({**one, "kind": voice.kind, "about": about, "transcript": voice.transcript})
    return out
