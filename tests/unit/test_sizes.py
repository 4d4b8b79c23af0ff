"""Modules, folders and functions stay small."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MODULE_LINES = 400
FUNCTION_LINES = 50  # of the body, without the docstring
FOLDER_MODULES = 18
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[Path]:
    for folder in ("services", "agent"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "build" not in path.parts:
                yield path.relative_to(REPOSITORY)


def body_lines(function: Function) -> int:
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_no_module_has_more_lines_than_its_limit() -> None:
    lengths = {str(path): len((REPOSITORY / path).read_text().splitlines()) for path in modules()}
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_folder_has_more_modules_than_its_limit() -> None:
    folders = Counter(str(path.parent) for path in modules() if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > FOLDER_MODULES} == {}


def test_no_function_has_more_lines_than_its_limit() -> None:
    long = {
        f"{path}: {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text()))
        if isinstance(node, Function) and body_lines(node) > FUNCTION_LINES
    }
    assert long == set()
