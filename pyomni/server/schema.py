"""JSON Schema, as much of it as the fields of requests need: what checks them is what describes them.

A schema is a mapping as of JSON Schema, with some of its keywords: `type`, `enum`, `const`, `anyOf`,
`minimum`, `exclusiveMinimum`, `maximum`, `pattern`, `maxLength`, `minItems`, `maxItems`, `required`,
`properties`, `items`, and `title`, which says what is expected in an error's sentence. A property that is
null is taken as left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyomni.options import Range
from pyomni.server.failures import BadRequest, TooLarge
from pyomni.server.values import kind_of

__all__ = ["Schema", "check", "number", "one_of", "optional", "text"]

Schema = Mapping[str, Any]

#: JSON's types: what they are in Python, and in a sentence.
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "boolean": ((bool,), "true or false"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "object": ((dict,), "an object"),
    "array": ((list,), "a list"),
    "null": ((type(None),), "null"),
}


def text(words: str, **more: Any) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": words, **more}


def number(words: str, known: Range) -> Schema:
    """Return the schema of a number in its range."""
    found: dict[str, Any] = {"type": "integer" if known.whole else "number"}
    found["exclusiveMinimum" if known.above else "minimum"] = known.low
    if known.high != math.inf:
        found["maximum"] = known.high
    return {**found, "title": known.words, "description": words}


def one_of(words: str, known: Iterable[str]) -> Schema:
    """Return the schema of one of some texts."""
    return {"type": "string", "enum": list(known), "description": words}


def optional(schema: Schema) -> Schema:
    """Return a schema that allows null as well, as fields that may be left out do."""
    if "type" not in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    found = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        found["enum"] = [*schema["enum"], None]
    return found


def check(value: Any, schema: Schema, name: str = "the body", param: str | None = None) -> None:
    """Refuse a value, parsed from JSON, that is not what a schema describes.

    Raises
    ------
    BadRequest
        With what was expected; `param` names the outermost field.
    TooLarge
        A text longer than its `maxLength`.
    """

    def refuse(found: str, kind: type[BadRequest] = BadRequest) -> BadRequest:
        return kind(f"{name} {found}, expected {_expected(schema)}", param)

    if "anyOf" in schema:
        if not any(_fits(value, one) for one in schema["anyOf"]):
            raise refuse(f"is {kind_of(value)}")
        return
    if "type" in schema and not _is(value, schema["type"]):
        raise refuse("is missing" if value is None else f"is {kind_of(value)}")
    if "const" in schema and value != schema["const"]:
        raise refuse(f"is {_shown(value)}")
    if "enum" in schema and value not in schema["enum"]:
        raise refuse(f"is {_shown(value)}")
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", math.inf):
            raise refuse(f"has {len(value)} characters", TooLarge)
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise BadRequest(f"{name} has half of a surrogate pair, expected text", param)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            raise refuse("is empty" if not value.strip() else f"is {_shown(value)}")
    elif isinstance(value, (int, float)) and not _within(value, schema):
        raise refuse(f"is {_shown(value)}")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            raise refuse(f"is a list of {len(value)}")
        for index, item in enumerate(value):
            check(item, schema.get("items", {}), f"{name}[{index}]", param)
    elif isinstance(value, dict):
        _check_object(value, schema, name, param)


def _check_object(value: dict[str, Any], schema: Schema, name: str, param: str | None) -> None:
    for key in schema.get("required", ()):
        if value.get(key) is None:
            known: Schema = schema["properties"][key]
            raise BadRequest(
                f"{_inner(name, key, param)} is missing, expected {_expected(known)}", param or key
            )
    for key, known in schema.get("properties", {}).items():
        if value.get(key) is not None:
            check(value[key], known, _inner(name, key, param), param or key)


def _inner(name: str, key: str, param: str | None) -> str:
    return f"{name}.{key}" if param else key


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind][0]) and (kind == "boolean" or not isinstance(value, bool))


def _fits(value: Any, schema: Schema) -> bool:
    try:
        check(value, schema)
    except BadRequest:
        return False
    return True


def _within(value: float, schema: Schema) -> bool:
    try:
        if not math.isfinite(value):
            return False
    except OverflowError:
        return False
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    return bool(low <= value <= schema.get("maximum", math.inf) and value > above)


def _expected(schema: Schema) -> str:
    """Return what is expected, in words."""
    if "title" in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return " or ".join(_expected(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"one of: {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return _shown(schema["const"])
    if "maxItems" in schema:
        return f"a list of {schema.get('minItems', 0)} to {schema['maxItems']}"
    if "maxLength" in schema:
        return f"a text of at most {schema['maxLength']} characters"
    return TYPES[schema["type"]][1]


def _shown(value: Any) -> str:
    """Return a value as an error shows it: short, and with nothing that is no text."""
    if isinstance(value, (dict, list)):
        return kind_of(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a number of many digits"  # Python refuses to write some of them
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value)[:42]
