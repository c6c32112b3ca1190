"""A conversation to be answered, and its answer on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pyomni.api.omni_live import LiveReply
from pyomni.chat_options import ChatOptions
from pyomni.options import SpeechOptions
from pyomni.receipt import Receipt
from pyomni.server.stops import Stops
from pyomni.server.ticket import Ticket

__all__ = ["AudioBlock", "ChatEvent", "ChatJob", "ChatRequest", "Done", "TextDelta"]

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChatRequest:
    """A conversation and how it is to be answered; the fields are arguments of `OmniModel.reply`.

    Attributes
    ----------
    stop : tuple of str
        What the text ends before; with `speak`, none is taken.
    """

    messages: Sequence[Mapping[str, Any]]
    speak: bool = False
    voice: str | None = None
    options: ChatOptions = field(default_factory=ChatOptions)
    speech_options: SpeechOptions = field(default_factory=SpeechOptions)
    audio_in_video: bool = False
    template: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextDelta:
    """What comes next of the text; never empty."""

    text: str


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """Samples that come next, float32 [n] at `OmniModel.sample_rate`; the text they say came before."""

    pcm: F32


@dataclass(frozen=True)
class Done:
    """The last event of an answer that was made to its end.

    Attributes
    ----------
    finish_reason : {"stop", "length"}
        Of the text.
    text : str
        All of it.
    n_prompt, n_reused : int
        Tokens of the conversation, and how many of them the model had read before.
    n_tokens : int
        Of the answer.
    n_frames : int
        Of its speech; 0 where it is not spoken.
    receipt : Receipt or None
        Of its speech.
    """

    finish_reason: str
    text: str
    n_prompt: int
    n_reused: int
    n_tokens: int
    n_frames: int
    receipt: Receipt | None

    @property
    def usage(self) -> dict[str, Any]:
        """Counts as OpenAI's API names them; a frame of speech counts as a token."""
        n = self.n_tokens + self.n_frames
        return {
            "prompt_tokens": self.n_prompt,
            "completion_tokens": n,
            "total_tokens": self.n_prompt + n,
            "prompt_tokens_details": {"cached_tokens": self.n_reused},
            "completion_tokens_details": {"audio_tokens": self.n_frames, "text_tokens": self.n_tokens},
        }


ChatEvent = TextDelta | AudioBlock | Done


class ChatJob(Ticket[ChatEvent]):
    """An answer in the scheduler: an async iterator of `ChatEvent`, with `cancel`.

    Events come in order; `Done` is the last, and after it the iteration ends.

    Attributes
    ----------
    request : ChatRequest
    messages : list of dict
        Those of the request with what was perceived in place of media: what is sent again is not read again.
    """

    def __init__(self, request: ChatRequest, deadline: float, wake: Callable[[], None]) -> None:
        super().__init__(deadline, wake)
        self.request = request
        self.messages: list[dict[str, Any]] = []
        self.reply: LiveReply | None = None  # of the worker, as is what follows
        self.stops = Stops(request.stop)
        self.text = ""
        self.over = False
