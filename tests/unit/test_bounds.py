"""Every queue has a limit."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for folder in ("services", "agent"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    function = node.func
                    called = function.attr if isinstance(function, ast.Attribute) else ""
                    if name in {called, getattr(function, "id", "")}:
                        yield str(path.relative_to(REPOSITORY)), node


def test_every_queue_is_made_with_a_bound() -> None:
    queues = [*calls("Queue"), *calls("SimpleQueue"), *calls("LifoQueue")]
    assert queues
    assert [
        f"{path}:{call.lineno}" for path, call in queues if not (call.args or call.keywords)
    ] == []
