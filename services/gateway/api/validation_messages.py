"""Plain sentences for the messages of msgspec, which name Python types and regular expressions."""

import re
from collections.abc import Callable
from typing import Any

from msgspec import inspect

TIME = "Give a time as 2026-11-26T08:00:00Z; write + as %2B."
UUID = "Must be an id, such as 6d9f0bd0-0000-4000-8000-000000000000."
TYPES = {
    "str": "Must be text.",
    "int": "Must be a whole number.",
    "float": "Must be a number.",
    "bool": "Must be true or false.",
    "array": "Must be a list.",
    "object": "Must be an object.",
    "datetime": TIME,
    "uuid": UUID,
}
# Characters that are invisible or change the order of other characters. A name with them could look
# like another name. U+200C and U+200D are allowed, because emoji and some scripts need them.
_HIDDEN = (
    r"\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
ONE_LINE = rf"^(?!.*[\x00-\x1f{_HIDDEN}])\S(.*\S)?$"
ONE_WORD = rf"^[^\s,\x00-\x1f{_HIDDEN}]+$"
LINES = rf"^[^\x00-\x08\x0b-\x1f{_HIDDEN}]+$"
# Messages by the field's pattern. A test compares the keys with the patterns in the OpenAPI document.
PATTERNS = {
    r"^[^\x00]*$": "Must not contain the character NUL.",
    r"^[^\x00]+$": "Must not contain the character NUL.",
    r"^/[^\x00]*$": "Must begin with `/`.",
    r"^[^/\x00]+$": "Must be a name without `/`.",
    ONE_WORD: "Must not contain spaces, commas, or hidden characters.",
    ONE_LINE: "Must be one line without hidden characters that does not begin or end with a space.",
    r"^(?!.*/\.\.(?:/|$))/[^\x00-\x1f\x7f]*$": "Must begin with `/`, be one line and have no `..`.",
    r"^((min|max|p95)(,(min|max|p95))*)?$": "One or more of min, max, p95, separated by commas.",
    r"^[0-9a-f]{32}$": "Must have 32 characters of 0-9 and a-f.",
    r"^([0-9a-f]{64})?$": "Must have 64 characters of 0-9 and a-f.",
    r"^[0-9a-f]{12,64}(?!\n)$": "Must have 12 to 64 characters of 0-9 and a-f.",
    r"^(sha256:)?[0-9a-f]{12,64}(?!\n)$": "Must have 12 to 64 characters of 0-9 and a-f.",
    r"^[!-~]+(?!\n)$": "Must not contain spaces or letters outside a-z.",
    r"^[a-z_.,-]*$": "Must be actions or kinds of actions, such as file.delete,docker.",
    r"^[\w+/-]+$": "Must be the name of a time zone, such as Europe/Berlin.",
    r"^20[0-9]{2}-(0[1-9]|1[0-2])$": "Must be a year and a month, such as 2026-03.",
    r"^[a-z0-9][a-z0-9._-]{0,62}(?!\n)$": "Must have 1 to 63 characters of a-z, 0-9, '.', '_' and '-',"
    " and begin with a letter or digit.",
    r"^[!-?A-~]+@[!-?A-~]+(?!\n)$": "Must be an address for e-mail, such as alice@example.com.",
    LINES: "Must not contain hidden or control characters.",
}
BOUNDS = {">=": "or more", "<=": "or less", ">": "more than", "<": "less than"}


def plain(message: str, annotation: Any = None, key: str = "") -> str:
    """Return a message of msgspec as a sentence; an unknown one is returned as it is.

    `annotation` is the type that the value at `key` was checked against, such as `powers.files`.
    """
    for expression, write in _RULES:
        if found := re.fullmatch(expression, message, re.DOTALL):
            return write(found)
    if message.startswith("Invalid enum value") and (values := _values(annotation, key)):
        return f"Must be one of: {', '.join(values)}."
    return message


def _length(found: re.Match[str]) -> str:
    kind, bound, number = found.groups()
    if (bound, number) == (">=", "1"):
        return "Must not be empty."
    unit = "characters" if kind == "str" else "items"
    return f"Must have {number} {unit} {BOUNDS[bound]}."


def _bound(found: re.Match[str]) -> str:
    bound, number = found.groups()
    words = BOUNDS[bound]
    return f"Must be {number} {words}." if "=" in bound else f"Must be {words} {number}."


def _pattern(found: re.Match[str]) -> str:
    # msgspec quotes a pattern as Python does.
    shown = {repr(pattern): text for pattern, text in PATTERNS.items()}
    return shown.get(found[1], found[0])


_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"Object missing required field `.*`", lambda _: "Required."),
    (r"Object contains unknown field `(.*)`", lambda found: f"Unknown: `{found[1]}`."),
    (r"Invalid RFC3339 encoded datetime", lambda _: TIME),
    (r"Invalid UUID", lambda _: UUID),
    (r"Expected `(str|array)` of length (>=|<=) (\d+)", _length),
    (r"Expected `(?:int|float)` (>=|<=|>|<) (\S+)", _bound),
    (r"Expected `str` matching regex (.*)", _pattern),
    (
        r"Expected `(\w+)(?: \| null)?`, got `.*`",
        lambda found: TYPES.get(found[1], found[0]),
    ),
)


def _values(annotation: Any, key: str) -> list[str]:
    """Return the allowed values at `key` of a type; none if that is not an enumeration."""
    try:
        kinds = [inspect.type_info(annotation)]
    except (TypeError, NotImplementedError):
        return []
    for name in re.findall(r"\[[^\]]*\]|[^.\[\]]+", key):
        kinds = [inner for kind in kinds for inner in _inside(kind, name)]
    return [str(value) for kind in kinds for value in _listed(kind)]


def _inside(kind: inspect.Type, name: str) -> list[inspect.Type]:
    """Return the types of one field, or of the items of a list if `name` is an index in brackets."""
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    if isinstance(kind, inspect.UnionType):
        return [inner for one in kind.types for inner in _inside(one, name)]
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == name]
    if isinstance(kind, inspect.CollectionType) and name.startswith("["):
        return [kind.item_type]
    return []


def _listed(kind: inspect.Type) -> list[Any]:
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    if isinstance(kind, inspect.UnionType):
        return [value for one in kind.types for value in _listed(one)]
    if isinstance(kind, inspect.LiteralType):
        return list(kind.values)
    if isinstance(kind, inspect.EnumType):
        return [member.value for member in kind.cls]
    return []
