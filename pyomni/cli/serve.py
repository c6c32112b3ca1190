"""``pyomni serve``: speech and conversations over HTTP, as OpenAI's clients ask for them."""

from __future__ import annotations

import argparse
import importlib
import os
import socket
import sys
from contextlib import nullcontext
from typing import Any

from pyomni.cli.common import (
    INPUT,
    USAGE,
    CliError,
    blame,
    count,
    flags,
    omni_flags,
    open_model,
    open_omni,
    precision_flag,
    print_json,
)

EXAMPLE = """\
examples:
  pyomni serve -m model.gguf --lanes 4
  pyomni serve -m model.gguf --wyoming-port 10200
  curl http://127.0.0.1:8080/v1/audio/speech -d '{"input": "Hello there."}' -o hello.mp3
  pyomni serve -m omni.gguf        # /v1/chat/completions, /v1/audio/transcriptions

It serves this machine alone; for others say --host 0.0.0.0 and --api-key KEY (docs/serve.md). Ctrl-C or
SIGTERM finishes what runs and ends with 0."""


def add(verbs: Any) -> None:
    """Add the verb."""
    p = verbs.add_parser(
        "serve",
        help="an HTTP server with OpenAI's routes for speech and conversations",
        description="Serve a model that speaks texts, or one that converses, over HTTP.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    flags(p)
    p.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    p.add_argument("--port", type=int, default=8080, metavar="N", help="0 takes a free one (default 8080)")
    p.add_argument(
        "--api-key",
        metavar="KEY",
        help="what clients have to send; else $PYOMNI_API_KEY. Needed where others can reach the host",
    )
    p.add_argument(
        "--lanes", type=count, default=4, metavar="N", help="requests decoded together (default 4)"
    )
    p.add_argument(
        "--queue", type=count, default=32, metavar="N", help="requests that may wait for a lane (default 32)"
    )
    p.add_argument(
        "--deadline",
        type=_seconds,
        default=600.0,
        metavar="S",
        help="longest an answer may take (default 600)",
    )
    p.add_argument(
        "--max-chars", type=count, default=20_000, metavar="N", help="longest text (default 20000)"
    )
    p.add_argument(
        "--max-upload", type=count, default=32, metavar="MIB", help="largest request (default 32 MiB)"
    )
    p.add_argument(
        "--text-wait",
        type=_seconds,
        default=20.0,
        metavar="S",
        help="longest pause within a text that arrives over a socket (default 20)",
    )
    p.add_argument(
        "--drain", type=_seconds, default=30.0, metavar="S", help="time to finish when stopped (default 30)"
    )
    p.add_argument(
        "--allow-urls",
        action="store_true",
        help="fetch media of conversations from http(s) URLs (default: no)",
    )
    p.add_argument(
        "--max-audio", type=_seconds, default=1800.0, metavar="S", help="longest clip to hear (default 1800)"
    )
    p.add_argument(
        "--max-pixels", type=count, default=40, metavar="MILLION", help="largest image to see (default 40)"
    )
    p.add_argument(
        "--max-frames", type=count, default=256, metavar="N", help="most frames of a video (default 256)"
    )
    p.add_argument(
        "--max-parts", type=count, default=256, metavar="N", help="most parts of a conversation (default 256)"
    )
    omni_flags(p)
    precision_flag(p)
    wyoming = p.add_argument_group("Wyoming, for Home Assistant (docs/home-assistant.md)")
    wyoming.add_argument(
        "--wyoming-port", type=int, metavar="N", help="listen there too, usually on 10200; 0 takes a free one"
    )
    wyoming.add_argument(
        "--wyoming-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address for it (default 127.0.0.1); the protocol has no key: whoever reaches it may use it",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from pyomni.api import model_path
    from pyomni.metadata import is_omni

    extra = "server" if args.wyoming_port is None else "server,wyoming"
    try:
        from pyomni.server.running import listen, serve
        from pyomni.server.settings import Settings

        if args.wyoming_port is not None:
            importlib.import_module("pyomni.server.wyoming.door")
    except ModuleNotFoundError as error:
        raise CliError(
            INPUT, f"{error.name} is not installed, expected it to serve: pip install 'pyomni[{extra}]'"
        ) from None
    settings = Settings(
        api_key=args.api_key or os.environ.get("PYOMNI_API_KEY") or None,
        queue=args.queue,
        deadline=args.deadline,
        max_chars=args.max_chars,
        max_upload=args.max_upload << 20,
        text_wait=args.text_wait,
        drain=args.drain,
        allow_urls=args.allow_urls,
        max_audio=args.max_audio,
        max_pixels=args.max_pixels * 1_000_000,
        max_frames=args.max_frames,
        max_parts=args.max_parts,
    )
    path = model_path(args.model)
    opened = open_omni if is_omni(path) else open_model
    with blame(USAGE):
        settings.check_host(args.host)
        sock = listen(args.host, args.port)
        wyoming = None if args.wyoming_port is None else listen(args.wyoming_host, args.wyoming_port)
    host, port = sock.getsockname()[:2]
    about = {"address": _address("http", sock), "host": host, "port": port, "model": path.name}
    if wyoming is not None:
        about["wyoming"] = _address("tcp", wyoming)

    def ready() -> None:
        if args.json:
            print_json(about)
        elif not args.quiet:
            also = f" and {about['wyoming']} (Wyoming)" if wyoming is not None else ""
            print(f"{path.name}: listening on {about['address']}{also}")
        sys.stdout.flush()

    with sock, wyoming or nullcontext(), opened(args, lanes=args.lanes) as model:
        serve(model, settings, sock, ready, wyoming)
    return 0


def _address(scheme: str, sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a time, expected seconds above 0")
    return number
