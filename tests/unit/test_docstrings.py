"""Docstrings begin with their subject, so that a reader understands them at first sight."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("services", "agent", "deploy", "tests")
OPENINGS = frozenset(
    {
        "as",
        "how",
        "nobody",
        "of",
        "some",
        "those",
        "until",
        "what",
        "where",
        "whether",
        "who",
        "whose",
    }
)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def paths() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "build" not in path.parts:
                yield path.relative_to(REPOSITORY)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, including those below attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Documented):
            for statement in node.body:
                if (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                ):
                    yield statement.lineno, statement.value.value


def opening(docstring: str) -> str:
    words = docstring.split()
    return words[0].strip("`'\".,:;").casefold() if words else ""


def test_no_docstring_opens_with_a_relative_or_elliptic_word() -> None:
    found = [
        f"{path}:{line}: {text.split(chr(10))[0]}"
        for path in paths()
        for line, text in docstrings((REPOSITORY / path).read_text())
        if opening(text) in OPENINGS
    ]
    assert found == []


def test_the_check_reads_docstrings_of_modules_classes_functions_and_attributes() -> None:
    source = '"""A."""\nclass B:\n    """What b is."""\n    c = 1\n    """Whose."""\n'
    source += 'async def d():\n    """Of."""\n'
    assert sorted(opening(text) for _, text in docstrings(source)) == ["a", "of", "what", "whose"]
