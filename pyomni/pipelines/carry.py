"""One voice through the parts of a text, where nothing but the first part says what the voice is.

A described voice, or none, is made up anew by every generation. So the parts after the first are spoken as
in-context clones of it: their prompts hold its text and its codes, and the codec hears it before they
begin. That is the prompt the model would have had if it had gone on speaking, so no encoder and no base
model is needed; and as every part depends on the first one alone, they keep the codes they have whatever
runs beside them, at memory that does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyomni.pipelines.blocks import Timings
from pyomni.pipelines.engine import Plan, SpeechEngine
from pyomni.pipelines.speech import Event

__all__ = ["CARRIED_TOKENS", "Follower", "run"]

I32 = npt.NDArray[np.int32]

#: Tokens of a first part that others are to follow, if its first sentence is no longer: some ten seconds of
#: speech, which every later prompt has to read.
CARRIED_TOKENS = 50


@dataclass(frozen=True)
class Follower:
    """A plan that waits for another's codes.

    Attributes
    ----------
    leader : int
        Whose, by its place among the plans.
    plan : callable (int32 [n_frames, n_groups]) -> Plan
        Makes the plan from them.
    """

    leader: int
    plan: Callable[[I32], Plan]


def run(
    engine: SpeechEngine, plans: Sequence[Plan], followers: Mapping[int, Follower], timings: Timings
) -> Iterator[Event]:
    """Run plans on the lanes of a model, those of `followers` once their leaders have ended.

    A follower whose leader ended without a frame is run as the plan it has in `plans`. Call it inside
    `SpeechEngine.use`.
    """
    first = [index for index in range(len(plans)) if index not in followers]
    spoken: dict[int, list[I32]] = {follower.leader: [] for follower in followers.values()}
    for event in engine.events([plans[index] for index in first], timings):
        index = first[event.request]
        if event.codes is not None and index in spoken:
            spoken[index].append(event.codes)
        yield event._replace(request=index)
    if not followers:
        return
    later = sorted(followers)
    made = []
    for index in later:
        codes = spoken[followers[index].leader]
        made.append(followers[index].plan(np.stack(codes)) if codes else plans[index])
    for event in engine.events(made, timings):
        yield event._replace(request=later[event.request])
