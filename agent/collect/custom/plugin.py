"""Custom collectors written in Python, each run in its own process.

An entry point of the group `flotilla_agent.collectors` names a function without arguments that
returns (name, value, labels) triples.
"""

import sys
from importlib import metadata

from agent.collect.custom.lines import format_line

GROUP = "flotilla_agent.collectors"


def names() -> list[str]:
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def main(name: str) -> None:
    (point, *_) = metadata.entry_points(group=GROUP, name=name)
    for series, value, labels in point.load()():
        print(format_line(series, value, labels))  # noqa: T201  # the agent reads it


if __name__ == "__main__":
    main(sys.argv[1])
