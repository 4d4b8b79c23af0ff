import contextlib
import itertools
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.commands.errors import CommandFailedError
from tests.fixtures.agent.file_actions import (
    CONFLICT,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    Sandbox,
    tree,
)


async def test_devices_sockets_and_pipes_are_never_opened(whole: Sandbox) -> None:
    os.mkfifo(whole.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(whole.root):
        listener.bind("socket")
    for path in (whole.root / "pipe", whole.root / "socket", "/dev/zero", "/dev/null"):
        for operation in ("READ", "CHECKSUM"):
            failure, reason = await whole.refusal(operation, path, length=9)
            assert (failure, "never opens" in reason) == (INVALID, True)
    listed = (await whole.act("LIST")).listing.entries
    assert {entry.name: entry.kind for entry in listed} == {"pipe": 4, "socket": 4}
    assert "zero" in await whole.names("/dev")


class Swap:
    """Replaces a folder by a link to another one, or back, just before a certain system call."""

    CALLS = ("open", "stat", "readlink", "scandir", "mkdir", "rename", "unlink", "rmdir", "chmod")

    def __init__(self, folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._away = folder.with_name("x.away")
        self._other = other
        self._left = 0  # calls until the swap
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def before_call(self, number: int, *, start_as_link: bool) -> None:
        self._left = 0
        self._restore()
        if start_as_link:
            self._swap()
        self._left = number

    @property
    def happened(self) -> bool:
        return self._left == 0

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._left:
                self._left -= 1
                if not self._left:
                    self._swap()
            return call(*args, **kwargs)

        return counted

    def _swap(self) -> None:
        if self._folder.is_symlink():
            self._folder.unlink()
            self._away.rename(self._folder)
        elif self._folder.exists():
            self._folder.rename(self._away)
            self._folder.symlink_to(self._other)

    def _restore(self) -> None:
        """Make the folder again, as every attempt begins."""
        for path in (self._folder, self._away):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
        self._folder.mkdir()
        (self._folder / "secret").write_text("inside")


@pytest.mark.parametrize("start_as_link", [False, True])
async def test_a_link_that_is_swapped_in_at_any_moment_never_leads_out(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, *, start_as_link: bool
) -> None:
    swap = Swap(box.root / "x", box.outside, monkeypatch)
    outcomes: set[int] = set()
    for number in itertools.count(1):
        swap.before_call(number, start_as_link=start_as_link)
        try:
            data = (await box.chunk(box.root / "x/secret")).data
        except CommandFailedError as error:
            outcomes.add(error.failure)
        else:
            assert data == b"inside"
            outcomes.add(0)
        if not swap.happened:
            break

    assert outcomes <= {0, FORBIDDEN, NOT_FOUND, CONFLICT}
    assert {0, FORBIDDEN} <= outcomes


@pytest.mark.parametrize("start_as_link", [False, True])
@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("WRITE", {"upload_id": "0" * 32, "data": b"written"}),
        ("COPY", {"destination": "x/new"}),
        ("CHANGE_MODE", {"mode": 0o777}),
        ("MAKE_DIRECTORY", {}),
        ("DELETE", {}),
    ],
)
async def test_a_link_that_is_swapped_in_at_any_moment_does_not_lead_a_change_out(
    box: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    fields: dict[str, Any],
    *,
    start_as_link: bool,
) -> None:
    swap = Swap(box.root / "x", box.outside, monkeypatch)
    before = tree(box.outside), (box.outside / "secret").stat().st_mode
    fields = {**fields}
    if "destination" in fields:
        fields["destination"] = box.root / fields["destination"]
    name = "new" if operation == "MAKE_DIRECTORY" else "secret"
    for number in itertools.count(1):
        swap.before_call(number, start_as_link=start_as_link)
        with contextlib.suppress(CommandFailedError):
            await box.act(operation, box.root / "x" / name, **fields)
        assert (tree(box.outside), (box.outside / "secret").stat().st_mode) == before
        if not swap.happened:
            break
