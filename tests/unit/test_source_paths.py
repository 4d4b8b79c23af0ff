"""The paths of source files that the documentation names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PATH = re.compile(r"`((?:agent|services|web|proto|deploy|tests|charts|docs)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_source_path_that_a_page_names_exists(page: Path) -> None:
    named = PATH.findall(page.read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []
