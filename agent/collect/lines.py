"""The lines that a collector of the owner's own prints: `name value [label=value …]`."""

import dataclasses
import math
import re
import shlex

SERIES_LIMIT = 200
# All of these are within what the server takes: a batch that it refuses ends the stream.
LABEL_LIMIT = 16
LABELS_BYTES = 1_024  # of all names and values of one series
TEXT_LIMIT = 256  # characters
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]{0,199}")
LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    points: list[Point]
    malformed: int  # lines
    problem: str  # what is wrong with the first of them
    surplus: int  # series beyond the limit


def parse(output: bytes) -> Parsed:
    points: dict[tuple[str, tuple[tuple[str, str], ...]], Point] = {}
    malformed = surplus = 0
    problem = ""
    for raw in output.split(b"\n"):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            point = parse_line(line.decode())
        except ValueError as error:
            malformed += 1
            problem = problem or _reason(error)
            continue
        series = point.name, point.labels
        if series in points:
            malformed += 1
            problem = problem or "a series comes once"
        elif len(points) >= SERIES_LIMIT:
            surplus += 1
        else:
            points[series] = point
    return Parsed(list(points.values()), malformed, problem, surplus)


def _reason(error: ValueError) -> str:
    # What a decoder says would bring the line itself into the log.
    return "a line is UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def parse_line(line: str) -> Point:
    """Raises: ValueError: it is not one."""
    # Quotes, as a shell has them, let a label's value hold spaces.
    name, number, *rest = _words(line)
    if not NAME.fullmatch(name):
        raise ValueError("a name is of up to 200 letters, digits, _, : and ., no digit first")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a value is a finite number")
    if len(rest) > LABEL_LIMIT:
        raise ValueError(f"a series has at most {LABEL_LIMIT} labels")
    return Point(name, tuple(sorted(_labels(rest).items())), value)


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if len(words) < 2:
        raise ValueError("a line is a name, a value and labels")
    return words


def _labels(words: list[str]) -> dict[str, str]:
    labels = {}
    for word in words:
        label, equals, text = word.partition("=")
        if not equals or not LABEL.fullmatch(label) or label in labels:
            raise ValueError("a label is name=value, each name once")
        if len(text) > TEXT_LIMIT or "\0" in text:
            raise ValueError(f"a label's value has at most {TEXT_LIMIT} characters, none a NUL")
        labels[label] = text
    if sum(len(part.encode()) for label in labels.items() for part in label) > LABELS_BYTES:
        raise ValueError(f"the labels of a series have at most {LABELS_BYTES} bytes")
    return labels


def format_line(name: str, value: float, labels: dict[str, str]) -> str:
    words = (shlex.quote(f"{label}={text}") for label, text in labels.items())
    return " ".join([name, repr(float(value)), *words])
