"""The same batch over a Ray cluster: a model on each node, and one process that reads, hands out and writes.

Plain actors rather than Ray Data: a record is done when its line is in the manifest, so what a lost node had
is known without lineage, each result is written as it comes, and a node gets one model for sure. Nodes need
pyomni, and the model where this machine has it; records, clips and folder are needed here alone.
"""

from __future__ import annotations

import logging
import signal
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pyomni.audio.formats import output_file
from pyomni.batch.folder import Folder
from pyomni.batch.records import BadRecord, Record
from pyomni.batch.running import Done, Wanted, Work, speak_wanted
from pyomni.errors import AudioError, ClusterError, PyOmniError

__all__ = ["connected", "run"]

#: Records a node gets at once, for each of its lanes: fewer are lost with it, more keep the lanes full.
ROUNDS = 4
#: Seconds that a cluster's head is given to answer at first.
PATIENCE_S = 10.0
Found = dict[str, Any] | PyOmniError


class Speaker:
    """An open model on a node; the actor."""

    def __init__(self, model: str | None, options: dict[str, Any]) -> None:
        self._path, self._options = model, options
        self._model: Any = None

    def open(self) -> str | PyOmniError:
        """Open the model, and return its fingerprint, or the error: Ray would wrap what is raised."""
        from pyomni.api import SpeechModel, model_path

        try:
            self._model = SpeechModel(model_path(self._path), **self._options)
        except PyOmniError as error:
            return _plain(error)
        return str(self._model.fingerprint)

    def speak(self, wanted: list[Wanted], kind: str) -> list[tuple[Found, bytes]] | PyOmniError:
        """Return the line of each record and its file, or its error, in the order they were asked for."""
        try:
            return self._speak(wanted, kind)
        except PyOmniError as error:  # of them all: memory ran out, say
            return _plain(error)

    def _speak(self, wanted: list[Wanted], kind: str) -> list[tuple[Found, bytes]]:
        found: dict[str, tuple[Found, bytes]] = {}
        with tempfile.TemporaryDirectory(prefix="pyomni-batch-") as folder:
            for one, line in speak_wanted(self._model, wanted, Path(folder), kind):
                if isinstance(line, PyOmniError):
                    found[one.record.id] = (_plain(line), b"")
                else:
                    path = Path(folder) / line["output"]
                    found[one.record.id] = (line, path.read_bytes())
                    path.unlink()
        return [found[one.record.id] for one in wanted]


@dataclass
class Node:
    """A node's actor, and what it was given."""

    address: str
    actor: Any
    given: list[Wanted] = field(default_factory=list)
    ready: bool = False


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be part of a cluster.

    Raises
    ------
    ClusterError
        It cannot be reached.
    """
    import ray

    before = signal.getsignal(signal.SIGTERM)
    try:
        host, colon, port = address.rpartition(":")
        if colon and "://" not in host:  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClusterError(
            f"Ray cluster {address!r} cannot be reached, expected the address of its head, or auto: {reason}"
        ) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would end the program without a word
        yield
    finally:
        ray.shutdown()


def run(
    model: str | None,
    records: Iterable[Record | BadRecord],
    folder: Folder,
    *,
    options: dict[str, Any],
    format: str = "wav",  # noqa: A002, the name users expect
    clips: Path | None = None,
    on_progress: Callable[[Done], None] | None = None,
    on_lost: Callable[[str], None] | None = None,
) -> Done:
    """Speak what is not done yet on all nodes, inside `connected`; see `pyomni.batch.run`.

    Parameters
    ----------
    model : str or None
        Path or name, as on each node; None is the voice in the package.
    options : dict
        How `SpeechModel` is opened: ``lanes`` and others.
    on_lost : callable, optional
        Called with the address of each node that was lost; what it had is given to others.

    Raises
    ------
    ClusterError
        No node is left, or the nodes have different models.
    OutputFileError
        The folder cannot be written.
    PyOmniError
        What opening the model raises on a node.
    """
    import ray

    nodes = _nodes(model, options)
    at_work = {node.actor.open.remote(): node for node in nodes}
    idle: list[Node] = []
    again: deque[Wanted] = deque()  # what lost nodes had
    work: Work | None = None
    todo: Iterator[Wanted] = iter(())
    try:
        while at_work:
            [ref], _ = ray.wait(list(at_work), num_returns=1)
            node = at_work.pop(ref)
            try:
                answer = ray.get(ref)
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
                again.extend(node.given)
                (on_lost or (lambda _: None))(node.address)
            else:
                if work is None:
                    work = Work(folder, format, _checked(node, answer), clips, on_progress)
                    todo = work.wanted(records)
                elif not node.ready and _checked(node, answer) != work.model_hash:
                    raise ClusterError(f"node {node.address} has another model, expected one and the same")
                elif node.ready:
                    _take(work, node.given, _checked(node, answer))
                node.ready, node.given = True, []
                idle.append(node)
            while work is not None and idle:
                share = list(islice(_next(again, todo, work), ROUNDS * int(options.get("lanes", 1))))
                if not share:
                    break
                node = idle.pop()
                node.given = share
                at_work[node.actor.speak.remote(share, work.format)] = node
    finally:
        for node in nodes:
            ray.kill(node.actor)
    if work is None or again or next(todo, None) is not None:
        raise ClusterError(f"all {len(nodes)} nodes were lost: the same command goes on from there")
    return work.done


def _nodes(model: str | None, options: dict[str, Any]) -> list[Node]:
    """Start an actor on each node that computes."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor = ray.remote(max_restarts=0, max_task_retries=0)(Speaker)
    nodes = []
    nodes_of: Callable[[], list[dict[str, Any]]] = ray.nodes  # which says nothing of its types
    for about in nodes_of():
        has = about["Resources"]
        if not about["Alive"] or has.get("CPU", 0) < 1:
            continue
        gpus = min(1, has.get("GPU", 0)) if options.get("device", "auto") != "cpu" else 0
        where = NodeAffinitySchedulingStrategy(about["NodeID"], soft=False)
        placed = actor.options(num_cpus=1, num_gpus=gpus, scheduling_strategy=where)
        nodes.append(Node(about["NodeManagerAddress"], placed.remote(model, options)))
    if not nodes:
        raise ClusterError("the cluster has no node with a CPU, expected one at least")
    return nodes


def _next(again: deque[Wanted], todo: Iterator[Wanted], work: Work) -> Iterator[Wanted]:
    """Yield what is to be handed out next: what was lost, then what is new, with what is in its clip."""
    while again:
        yield again.popleft()
    for one in todo:
        if isinstance(one.clip, Path):
            try:
                data = one.clip.read_bytes()
            except OSError as error:
                reason = f"{one.clip!s}: {error.strerror or error}, expected an audio clip"
                work.take(one.record, one.key, AudioError(reason))
                continue
            one = one._replace(clip=data)
        yield one


def _take(work: Work, given: list[Wanted], answer: list[tuple[Found, bytes]]) -> None:
    for one, (found, data) in zip(given, answer, strict=True):
        if not isinstance(found, PyOmniError):
            with output_file(work.folder.path / found["output"]) as file:
                file.write(data)
        work.take(one.record, one.key, found)


def _checked(node: Node, answer: Any) -> Any:
    """Return what a node answers, unless that is an error."""
    if isinstance(answer, PyOmniError):
        raise type(answer)(f"node {node.address}: {answer}")
    return answer


def _plain(error: PyOmniError) -> PyOmniError:
    """Return the error without what it came from, which may not travel."""
    return type(error)(str(error))
