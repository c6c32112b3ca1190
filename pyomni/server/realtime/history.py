"""The conversation of a session: its items in order, and the messages they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pyomni.server.realtime.events import Refused
from pyomni.server.realtime.items import Item

__all__ = ["History", "Prompt", "prompt_of"]

#: Bytes of everything kept, and items. At the released sizes 20 minutes of a voice take it.
MOST_BYTES, MOST_ITEMS = 128 << 20, 2000


class History:
    """Items by name, in order."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def get(self, name: Any, param: str = "item_id") -> Item:
        """Return an item.

        Raises
        ------
        Refused
            There is none of that name.
        """
        for item in self.items:
            if item.id == name:
                return item
        raise Refused(
            "item_not_found",
            f"{param} {str(name)[:64]!r} is not in the conversation, expected one that is",
            param,
        )

    def before(self, item: Item) -> str | None:
        """Return the name of the item before one."""
        index = self.items.index(item)
        return self.items[index - 1].id if index else None

    def add(self, item: Item, after: Any = None) -> None:
        """Put an item behind another, first for ``"root"``, or last.

        Raises
        ------
        Refused
            A name that is taken, or one that is not there, or no room.
        """
        if any(one.id == item.id for one in self.items):
            raise Refused("item_id_taken", f"item.id {item.id!r} is taken, expected another", "item.id")
        size = sum(one.n_bytes for one in self.items) + item.n_bytes
        if len(self.items) >= MOST_ITEMS or size > MOST_BYTES:
            raise Refused(
                "conversation_full",
                f"the conversation has {len(self.items)} items and {size >> 20} MiB with this one, expected "
                f"at most {MOST_ITEMS} and {MOST_BYTES >> 20} MiB; delete items, or begin another",
            )
        if after is None:
            self.items.append(item)
        elif after == "root":
            self.items.insert(0, item)
        else:
            self.items.insert(self.items.index(self.get(after, "previous_item_id")) + 1, item)

    def remove(self, name: Any) -> Item:
        """Take an item out."""
        item = self.get(name)
        self.items.remove(item)
        return item


class Prompt(NamedTuple):
    """What is to be answered.

    Attributes
    ----------
    messages : list of dict
        As `OmniModel.reply` takes them.
    items : list of Item or None
        Which each of them is.
    """

    messages: list[dict[str, Any]]
    items: list[Item | None]


def prompt_of(items: Iterable[Item], instructions: str) -> Prompt:
    """Return a conversation that is to be answered.

    System items join the instructions, as a model's template has one place for them. An answer of which
    nothing was heard was not said. Where the assistant speaks unasked, an empty turn of a user stands.
    """
    system = [instructions] if instructions else []
    prompt = Prompt([], [])
    for item in items:
        if item.role == "system":
            system.append("\n".join(text for _, text in item.parts))
            continue
        message = item.message()
        if item.role == "assistant":
            if not message["content"].strip():
                continue
            _ask(prompt)
        prompt.messages.append(message)
        prompt.items.append(item)
    _ask(prompt)
    if not system:
        return prompt
    first = {"role": "system", "content": "\n\n".join(system)}
    return Prompt([first, *prompt.messages], [None, *prompt.items])


def _ask(prompt: Prompt) -> None:
    if not prompt.messages or prompt.messages[-1]["role"] != "user":
        prompt.messages.append({"role": "user", "content": ""})
        prompt.items.append(None)
