"""`Conversation`: turns that are remembered, and can be saved with what the model has read of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyomni.api.asking import CHAT_DEFAULTS, SPEECH_DEFAULTS, Asker, How
from pyomni.api.reply import Reply, ReplyStream
from pyomni.chat_options import ChatOptions
from pyomni.errors import ArgumentError
from pyomni.options import SpeechOptions
from pyomni.pipelines.omni import OmniEngine
from pyomni.pipelines.saved_chat import SavedChat
from pyomni.text.detokenizer import TokenTexts

__all__ = ["Conversation", "read_conversation"]

#: What a turn may be: a text, a part, or parts.
Content = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]


class Conversation:
    """A conversation with a model; make one with `OmniModel.conversation`.

    Attributes
    ----------
    messages : list of dict
        What was said so far, as `OmniModel.reply` takes it; may be changed.
    """

    def __init__(
        self, engine: OmniEngine, asker: Asker, texts: TokenTexts, messages: list[dict[str, Any]]
    ) -> None:
        self._engine, self._asker, self._texts = engine, asker, texts
        self.messages = messages

    def say(self, content: Content, **options: Any) -> Reply:
        """Say something and return the answer; both become part of the conversation.

        Parameters
        ----------
        content : str or list
            A text, or parts of text, audio, image and video.
        **options
            Those of `OmniModel.reply`, whose exceptions this raises; after one, nothing was said.
        """
        with self.stream(content, **options) as stream:
            return stream.read()

    def stream(
        self,
        content: Content,
        *,
        speak: bool = False,
        voice: str | None = None,
        options: ChatOptions = CHAT_DEFAULTS,
        speech_options: SpeechOptions = SPEECH_DEFAULTS,
        audio_in_video: bool = False,
        **template: Any,
    ) -> ReplyStream:
        """Say something and yield the answer as it is made, as `OmniModel.stream_reply`.

        What was said and its answer become part of the conversation when the stream was read to its end.
        """
        if isinstance(content, Mapping):
            content = [content]
        said = {"role": "user", "content": content if isinstance(content, str) else list(content)}
        how = How(speak, voice, options, speech_options, audio_in_video)
        asked = self._asker.ask([*self.messages, said], how, template)

        def ended(reply: Reply) -> None:
            self.messages = [*asked.messages, {"role": "assistant", "content": reply.text}]

        return ReplyStream(self._engine, asked.answering, self._texts, ended)

    def to_bytes(self) -> bytes:
        """Return the conversation as bytes, with what the model holds of it.

        Raises
        ------
        ArgumentError
            A message holds what cannot be saved.
        SessionBusy
            The model is answering.
        """
        prompt, messages = self._asker.prompt_so_far(self.messages)
        with self._engine.use():
            lane, held = self._engine.snapshot(prompt)
        try:
            return SavedChat(messages, lane, held).to_bytes()
        except TypeError as error:  # what json cannot write
            raise ArgumentError(f"the conversation cannot be saved: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a file, whole or not at all, for `OmniModel.load_conversation`.

        Raises
        ------
        OutputFileError
            The path cannot be written.
        ArgumentError, SessionBusy
            As `to_bytes`.
        """
        from pyomni.audio.formats import output_file

        saved = self.to_bytes()
        with output_file(path) as file:
            file.write(saved)


def read_conversation(path: str | os.PathLike[str]) -> SavedChat:
    """Read what `Conversation.save` wrote.

    Raises
    ------
    ArgumentError
        The file cannot be read.
    ModelFormatError, UnsupportedModel
        It is damaged, no saved conversation, or made by a newer pyomni.
    """
    try:
        saved = Path(path).read_bytes()
    except OSError as error:
        raise ArgumentError(
            f"conversation {os.fspath(path)!r} could not be read ({error.strerror or error}), expected a "
            "file of Conversation.save"
        ) from error
    return SavedChat.from_bytes(saved)
