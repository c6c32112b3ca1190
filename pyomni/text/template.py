"""The checkpoint's chat template, run in a sandbox, and the ids of what it writes.

A template is a program of strangers: it runs in jinja2's sandbox, sees the messages alone and can change
nothing. What a user wrote never becomes a control token: spellings of control tokens in it are broken with a
character that no text has before the template sees them, and mended before they are tokenised as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from pyomni.errors import ArgumentError, ModelFormatError
from pyomni.text.detokenizer import TokenTexts
from pyomni.text.messages import Message

__all__ = ["ChatTemplate"]

#: Noncharacters: Unicode sets them apart for use inside a program.
MARKS = tuple(map(chr, range(0xFDD0, 0xFDF0)))


class Encoder(Protocol):
    """The part of `pyomni.text.tokenizer.Tokenizer` a prompt needs."""

    def encode(self, text: str) -> list[int]: ...


class ChatTemplate:
    """Messages to ids.

    Parameters
    ----------
    source : str
        The template, in jinja2's language, as the checkpoint has it.
    tokenizer : Tokenizer
        Encodes ordinary text.
    texts : TokenTexts
        Special tokens of the vocabulary.

    Raises
    ------
    ModelFormatError
        It is not a template.
    """

    def __init__(self, source: str, tokenizer: Encoder, texts: TokenTexts) -> None:
        # the import costs tens of milliseconds, and most commands never chat
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        # as Hugging Face sets it up, whose users write these templates
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ModelFormatError(
                f"the chat template is not one jinja2 can read ({_line(error)})"
            ) from error
        self._tokenizer, self._specials = tokenizer, texts.specials
        spellings = sorted(texts.specials, key=len, reverse=True)
        self._split = re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
        controls = sorted(texts.controls, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, controls)) or r"(?!)")

    def render(self, messages: Sequence[Message], **variables: Any) -> str:
        """Return the prompt as text, up to where the assistant begins to speak; see `ids`.

        Spellings of control tokens that a user wrote are there broken by the mark, the last character.
        """
        from jinja2 import TemplateError

        given = [_plain(message) for message in messages]
        texts = list(_strings([given, variables]))
        mark = next((m for m in MARKS if not any(m in text for text in texts)), None)
        if mark is None:
            raise ArgumentError("the messages hold every noncharacter of Unicode, expected text")
        guarded = self._guard(given, mark)
        try:
            text = self._template.render(
                messages=guarded, add_generation_prompt=True, **self._guard(variables, mark)
            )
        except ArgumentError:
            raise
        except TemplateError as error:
            raise ArgumentError(f"the chat template refused the messages: {_line(error)}") from error
        except Exception as error:  # a template that meets what it does not expect raises anything
            raise ArgumentError(
                f"the chat template failed on the messages ({type(error).__name__}: {_line(error)})"
            ) from error
        return str(text) + mark

    def ids(self, messages: Sequence[Message], **variables: Any) -> list[int]:
        """Return the ids of a conversation, up to where the assistant begins to speak.

        Parameters
        ----------
        messages : sequence of Message
            `parse_messages`
        **variables
            For the template, such as ``tools`` or ``enable_thinking``.

        Raises
        ------
        ArgumentError
            The template refused or failed, or a text is not Unicode.
        """
        text = self.render(messages, **variables)
        text, mark = text[:-1], text[-1]
        ids: list[int] = []
        at = 0
        for found in self._split.finditer(text):
            ids += self._encode(text[at : found.start()], mark)
            ids.append(self._specials[found[0]])
            at = found.end()
        return ids + self._encode(text[at:], mark)

    def _encode(self, text: str, mark: str) -> list[int]:
        return self._tokenizer.encode(text.replace(mark, "")) if text else []

    def _guard(self, value: Any, mark: str) -> Any:
        """Break the spellings of control tokens in every string of a value."""
        if isinstance(value, str):
            return self._control.sub(lambda found: found[0][0] + mark + found[0][1:], value)
        if isinstance(value, Mapping):
            return {self._guard(key, mark): self._guard(item, mark) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._guard(item, mark) for item in value]
        return value


def _plain(message: Message) -> dict[str, Any]:
    """Return a message as templates expect it; of media only the kind."""
    content: Any = message.text
    if not message.plain:
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": part.kind, part.kind: True}
            for part in message.parts
        ]
    return {**message.extra, "role": message.role, "content": content}


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    import json

    # jinja2's own escapes for HTML, which prompts are not
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(text: str) -> None:
    raise ArgumentError(f"the chat template refused the messages: {text}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
