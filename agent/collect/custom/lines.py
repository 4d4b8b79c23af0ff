"""Parser for the lines that a custom collector prints: `name value [label=value …]`."""

import dataclasses
import math
import re
import shlex

SERIES_LIMIT = 200
# These limits are not higher than the edge's limits. The edge closes streams that exceed its limits.
MAX_LABELS = 16
MAX_LABELS_BYTES = 1_024  # of all names and values of one series
MAX_LABEL_LENGTH = 256  # characters of a value
METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]{0,199}")
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    points: list[Point]
    malformed: int  # lines
    problem: str  # why the first malformed line was ignored
    surplus: int  # series beyond the limit


def parse(output: bytes) -> Parsed:
    """Parse all lines, leave out malformed ones, and count them."""
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
            problem = problem or _problem(error)
            continue
        series = point.name, point.labels
        if series in points:
            malformed += 1
            problem = problem or "a series must be printed only once"
        elif len(points) >= SERIES_LIMIT:
            surplus += 1
        else:
            points[series] = point
    return Parsed(list(points.values()), malformed, problem, surplus)


def _problem(error: ValueError) -> str:
    # The text of a decoding error would put the line itself into the log.
    return "a line must be UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def parse_line(line: str) -> Point:
    """Parse one line. A value with spaces is quoted as in a shell.

    Raises:
        ValueError: the line is malformed.
    """
    name, number, *labels = _words(line)
    if not METRIC_NAME.fullmatch(name):
        raise ValueError(
            "a metric name must have 1 to 200 characters of A-Z, a-z, 0-9, _, : and .,"
            " and begin with a letter or _"
        )
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a value must be a finite number")
    if len(labels) > MAX_LABELS:
        raise ValueError(f"a series can have at most {MAX_LABELS} labels")
    return Point(name, tuple(sorted(_labels(labels).items())), value)


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if len(words) < 2:
        raise ValueError("a line must be a name, a value and labels, separated by spaces")
    return words


def _labels(words: list[str]) -> dict[str, str]:
    labels = {}
    for word in words:
        label, equals, text = word.partition("=")
        if not equals or not LABEL_NAME.fullmatch(label) or label in labels:
            raise ValueError("a label must be name=value, with each name used once")
        if len(text) > MAX_LABEL_LENGTH or "\0" in text:
            raise ValueError(
                f"a label value can have at most {MAX_LABEL_LENGTH} characters, without NUL"
            )
        labels[label] = text
    if sum(len(part.encode()) for label in labels.items() for part in label) > MAX_LABELS_BYTES:
        raise ValueError(f"the labels of a series can have at most {MAX_LABELS_BYTES} bytes")
    return labels


def format_line(name: str, value: float, labels: dict[str, str]) -> str:
    words = (shlex.quote(f"{label}={text}") for label, text in labels.items())
    return " ".join([name, repr(float(value)), *words])
