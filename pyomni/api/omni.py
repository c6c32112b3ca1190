"""`OmniModel`: an open model that hears, sees, thinks and answers aloud."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyomni.api.aside import aside
from pyomni.api.asking import CHAT_DEFAULTS, SPEECH_DEFAULTS, Asker, How, text_rules
from pyomni.api.conversation import Conversation, read_conversation
from pyomni.api.omni_live import OmniLive
from pyomni.api.receipts import Issuer
from pyomni.api.reply import Reply, ReplyEvent, ReplyStream, reply_of
from pyomni.api.weights import Weights
from pyomni.chat_options import ChatOptions
from pyomni.metadata import read_omni
from pyomni.options import SpeechOptions
from pyomni.pipelines.conversing import converse_many
from pyomni.pipelines.omni import OmniEngine
from pyomni.pipelines.perceiving import Perceiver
from pyomni.pipelines.saved_chat import SavedChat

__all__ = ["TRANSCRIPT", "OmniModel", "transcript_messages"]

Messages = Sequence[Mapping[str, Any]]

#: What is said is not made up.
TRANSCRIPT = ChatOptions(greedy=True)

#: Spans of an answer that are thought or sent to tools, not said.
UNSPOKEN = (("<think>", "</think>"), ("<tool_call>", "</tool_call>"))


def transcript_messages(audio: Any, language: str | None = None, hint: str = "") -> list[dict[str, Any]]:
    """Return the conversation that asks for what is said in a clip.

    Parameters
    ----------
    audio : path, bytes, (float samples, sample rate), or a part of a message that holds such
    language : str, optional
        What is spoken.
    hint : str
        A text that the clip goes on from, or whose words it may use.
    """
    spoken = "" if language is None else f"{language.strip().capitalize()} "
    said = f"Transcribe the {spoken}audio into text."
    if hint.strip():
        said += f" It may go on from this text or use its words: {hint.strip()}"
    part = audio if isinstance(audio, Mapping) else {"type": "audio", "audio": audio}
    return [{"role": "user", "content": [part, {"type": "text", "text": said}]}]


class OmniModel:
    """A model that converses; make one with `pyomni.load`.

    Only the language model is opened at once; what hears, sees and speaks is loaded when it is first needed.
    One caller at a time: a second gets `SessionBusy`. It is a context manager; `close` frees the weights.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        lanes: int = 1,
        kv: str = "f32",
        experts: str = "device",
        packed: bool = False,
        precision: str = "exact",
    ) -> None:
        self._meta = meta = read_omni(Path(path))
        self.path: Path = meta.path
        self._texts = texts = meta.token_texts()
        self._weights = weights = Weights(
            meta.where,
            device,
            threads,
            ("thinker",),
            kv=kv,
            experts=experts,
            packed=packed,
            precision=precision,
        )
        try:
            specials = texts.specials
            unspoken = {specials[a]: specials[b] for a, b in UNSPOKEN if a in specials and b in specials}
            self._engine = OmniEngine(
                meta,
                weights.open_lm,
                lambda: weights.open_codec_decoder("code2wav"),
                lanes,
                text_rules(meta, texts),
                unspoken,
            )
            files = list(dict.fromkeys(m.path for m in meta.headers.values()))
            issuer = Issuer(files, str(meta.headers["thinker"].get("pyomni.type", "")), weights.device.name)
            self._perceiver = Perceiver(meta, weights.open_audio_encoder, weights.open_vision_encoder)
            self._asker = Asker(meta, self._engine, self._perceiver, texts, issuer)
        except BaseException:
            weights.close()
            raise

    # -- answering ----------------------------------------------------

    def reply(
        self,
        messages: Messages,
        *,
        speak: bool = False,
        voice: str | None = None,
        options: ChatOptions = CHAT_DEFAULTS,
        speech_options: SpeechOptions = SPEECH_DEFAULTS,
        audio_in_video: bool = False,
        **template: Any,
    ) -> Reply:
        """Answer a conversation; `stream_reply` read to its end.

        What the model has read of it before, in the same words, is not read again.

        Parameters
        ----------
        messages : list of dict
            With ``role`` and ``content``, as in the OpenAI API or Hugging Face: text, or parts of text, audio
            (a path, bytes, or float samples with their rate), image (a path, bytes or PIL image) and video (a
            path, bytes, or frames with their rate; ``fps``, ``max_frames``, ``min_pixels``, ``max_pixels``
            and, with `audio_in_video`, ``sound`` beside it). The last is a user's.
        speak : bool
            Speak the answer as well.
        voice : str, optional
            One of `speakers`; None takes the model's own.
        options : ChatOptions
            How the text is written.
        speech_options : SpeechOptions
            How it is spoken.
        audio_in_video : bool
            Hear the sound tracks of videos; the same for all turns of a conversation.
        **template
            For the chat template, such as ``tools`` or ``enable_thinking``.

        Returns
        -------
        Reply

        Raises
        ------
        ArgumentError
            Messages of another shape or order, a voice that is not there, or what the template refuses.
        AudioError, ImageError, VideoError
            Media that cannot be read, or are empty, too long or too large.
        ModelFileError, ModelFormatError, UnsupportedModel
            Media, or speech, for which a file beside the model's is missing, damaged or of another
            checkpoint, or which the model does not take.
        ContextFull
            More tokens than the model holds.
        SessionBusy
            The model is answering already.
        """
        with self.stream_reply(
            messages, speak=speak, voice=voice, options=options, speech_options=speech_options,
            audio_in_video=audio_in_video, **template,
        ) as stream:  # fmt: skip
            return stream.read()

    def stream_reply(
        self,
        messages: Messages,
        *,
        speak: bool = False,
        voice: str | None = None,
        options: ChatOptions = CHAT_DEFAULTS,
        speech_options: SpeechOptions = SPEECH_DEFAULTS,
        audio_in_video: bool = False,
        **template: Any,
    ) -> ReplyStream:
        """Answer a conversation and yield text and sound as they are made, interleaved.

        Speech begins while the text is still being written. Arguments are those of `reply` and are checked
        before this returns; media are read then as well. The model is held from the first event to the last,
        or until the stream is closed.
        """
        how = How(speak, voice, options, speech_options, audio_in_video)
        asked = self._asker.ask(messages, how, template)
        return ReplyStream(self._engine, asked.answering, self._texts)

    def astream_reply(
        self,
        messages: Messages,
        *,
        speak: bool = False,
        voice: str | None = None,
        options: ChatOptions = CHAT_DEFAULTS,
        speech_options: SpeechOptions = SPEECH_DEFAULTS,
        audio_in_video: bool = False,
        **template: Any,
    ) -> AsyncGenerator[ReplyEvent, None]:
        """Do as `stream_reply`, for ``async for``; the work runs in a thread of its own, media included.

        Exceptions come with the first event. Close it (``aclose``) where it is left before its end.
        """

        def start() -> ReplyStream:
            return self.stream_reply(
                messages, speak=speak, voice=voice, options=options, speech_options=speech_options,
                audio_in_video=audio_in_video, **template,
            )  # fmt: skip

        return aside(start)

    def reply_many(
        self,
        conversations: Sequence[Messages],
        *,
        speak: bool = False,
        voice: str | None = None,
        options: ChatOptions = CHAT_DEFAULTS,
        speech_options: SpeechOptions = SPEECH_DEFAULTS,
        audio_in_video: bool = False,
        **template: Any,
    ) -> list[Reply]:
        """Answer several conversations on the lanes of the model, decoded together.

        Each gets what `reply` gives it alone with the same options, the seeds included; without seeds, each
        draws its own. Timings are those of the whole run. Arguments and exceptions are those of `reply`.
        """
        how = How(speak, voice, options, speech_options, audio_in_video)
        answerings = [self._asker.ask(messages, how, template).answering for messages in conversations]
        if not answerings:
            return []
        with self._engine.use():
            answers, sounds = converse_many(self._engine, answerings)
        return [
            reply_of(answering, answer, sound, self._texts, self.sample_rate)
            for answering, answer, sound in zip(answerings, answers, sounds, strict=True)
        ]

    def transcribe(
        self, audio: Any, *, language: str | None = None, options: ChatOptions = TRANSCRIPT
    ) -> str:
        """Write down what is said in a clip; `stream_transcript` read to its end.

        Parameters
        ----------
        audio : path, bytes, or (float samples, sample rate)
        language : str, optional
            What is spoken, such as ``english``.
        options : ChatOptions, optional
            By default greedy.

        Returns
        -------
        str

        Raises
        ------
        As `reply`.
        """
        with self.stream_transcript(audio, language=language, options=options) as stream:
            return stream.read().text.strip()

    def stream_transcript(
        self, audio: Any, *, language: str | None = None, options: ChatOptions = TRANSCRIPT
    ) -> ReplyStream:
        """Write down what is said in a clip, as it is made; arguments are those of `transcribe`."""
        return self.stream_reply(transcript_messages(audio, language), options=options)

    def conversation(self, system: str | None = None) -> Conversation:
        """Begin a conversation, which remembers its turns and can be saved."""
        return Conversation(
            self._engine,
            self._asker,
            self._texts,
            [] if system is None else [{"role": "system", "content": system}],
        )

    def live(self) -> OmniLive:
        """Return what a server answers many conversations with, as they come."""
        return OmniLive(self._engine, self._asker, self._texts, self.sample_rate)

    def load_conversation(self, saved: str | os.PathLike[str] | bytes) -> Conversation:
        """Go on with a conversation where `Conversation.save` or `to_bytes` was called.

        Raises
        ------
        ArgumentError
            The file cannot be read, or was made with another model.
        ModelFormatError
            It is damaged, or no saved conversation.
        UnsupportedModel
            A newer pyomni made it.
        ContextFull
            It holds more tokens than this model can.
        SessionBusy
            The model is answering.
        """
        value = SavedChat.from_bytes(saved) if isinstance(saved, bytes) else read_conversation(saved)
        self._asker.check(value)
        with self._engine.use():
            self._engine.restore(value)
        return Conversation(self._engine, self._asker, self._texts, value.messages)

    # -- what is known of it ----------------------------------------------

    @property
    def speakers(self) -> list[str]:
        """Voices it speaks with; none where it does not speak."""
        return list(self._meta.speech.speakers) if self._speaks else []

    @property
    def sample_rate(self) -> int:
        """Of its speech, Hz; 0 where it does not speak."""
        return self._meta.speech.sample_rate if self._speaks else 0

    @property
    def hop(self) -> int:
        """Samples of a frame of speech; 0 where it does not speak."""
        return self._meta.speech.hop if self._speaks else 0

    @property
    def takes(self) -> list[str]:
        """Kinds of media it takes, of ``audio``, ``image`` and ``video``, with the files that are there."""
        headers = self._meta.headers
        seen = ["image", "video"] if "vision_encoder" in headers else []
        return (["audio"] if "audio_encoder" in headers else []) + seen

    @property
    def takes_tools(self) -> bool:
        """Whether its chat template knows of ``tools``."""
        return "tools" in self._meta.chat_template

    @property
    def _speaks(self) -> bool:
        return "talker" in self._meta.headers

    @property
    def info(self) -> dict[str, Any]:
        """What is in the files, as plain values, and the bytes of each network that was loaded."""
        return {**self._meta.summary(), "loaded": self._weights.n_bytes()}

    def close(self) -> None:
        """Free everything; calling it again does nothing.

        Raises
        ------
        SessionBusy
            The model is answering.
        """
        self._engine.close()
        self._perceiver.close()
        self._weights.close()

    def __enter__(self) -> OmniModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
