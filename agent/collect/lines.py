"""The lines that a collector of the owner's own prints: `name value [label=value …]`."""

import dataclasses
import math
import re
import shlex

SERIES_LIMIT = 200
LABEL_LIMIT = 16
TEXT_LIMIT = 256  # characters
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
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
    surplus: int  # series beyond the limit


def parse(output: bytes) -> Parsed:
    points: dict[tuple[str, tuple[tuple[str, str], ...]], Point] = {}
    malformed = surplus = 0
    for raw in output.split(b"\n"):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            point = parse_line(line.decode())
        except ValueError:
            malformed += 1
            continue
        series = point.name, point.labels
        if series in points:
            malformed += 1
        elif len(points) >= SERIES_LIMIT:
            surplus += 1
        else:
            points[series] = point
    return Parsed(list(points.values()), malformed, surplus)


def parse_line(line: str) -> Point:
    """Raises: ValueError: it is not one."""
    # Quotes, as a shell has them, let a label's value hold spaces.
    name, number, *rest = shlex.split(line)
    value = float(number)
    if not NAME.fullmatch(name) or not math.isfinite(value) or len(rest) > LABEL_LIMIT:
        raise ValueError(line)
    labels = {}
    for word in rest:
        label, equals, text = word.partition("=")
        if not equals or not LABEL.fullmatch(label) or label in labels:
            raise ValueError(line)
        if len(text) > TEXT_LIMIT or "\0" in text:
            raise ValueError(line)
        labels[label] = text
    return Point(name, tuple(sorted(labels.items())), value)


def format_line(name: str, value: float, labels: dict[str, str]) -> str:
    words = (shlex.quote(f"{label}={text}") for label, text in labels.items())
    return " ".join([name, repr(float(value)), *words])
