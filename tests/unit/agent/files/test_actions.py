import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commands.errors import CommandFailedError
from flotilla.v1.agent_pb2 import Powers
from tests.fixtures.agent.file_actions import (
    FORBIDDEN,
    INVALID,
    Sandbox,
    as_nobody,
    make_sandbox,
    tree,
)
from tests.fixtures.waiting import soon, until


async def test_a_cancelled_action_stops(box: Sandbox) -> None:
    with (box.root / "large").open("wb") as file:
        file.truncate(1 << 40)
    task = asyncio.create_task(box.act("CHECKSUM", box.root / "large"))
    await until(lambda: len(box.files._stops) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await soon(asyncio.to_thread(box.files._threads.shutdown))


async def test_actions_that_the_policy_does_not_allow_are_refused(tmp_path: Path) -> None:
    off = make_sandbox(tmp_path, files=Powers.FILE_ACCESS_UNSPECIFIED)
    failure, reason = await off.refusal("LIST")
    assert failure == FORBIDDEN
    assert 'files = "read"' in reason
    assert "policy.toml" in reason

    reader = make_sandbox(tmp_path, files=Powers.FILE_ACCESS_READ)
    (reader.root / "f").write_text("f")
    assert await reader.names() == ["f"]
    changes = ["WRITE", "COMMIT", "ABORT", "UPLOAD_STATE", "MAKE_DIRECTORY", "RENAME", "COPY"]
    changes += ["DELETE", "CHANGE_MODE", "CHANGE_OWNER", "ARCHIVE", "EXTRACT"]
    for operation in changes:
        failure, reason = await reader.refusal(operation, reader.root / "f", upload_id="0" * 32)
        assert (failure, 'files = "write"' in reason) == (FORBIDDEN, True)
    assert (await reader.refusal("UNSPECIFIED"))[0] == INVALID
    assert tree(reader.root) == {"f": "f"}


@pytest.fixture
def open_box() -> Iterator[Sandbox]:
    """Return a sandbox that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield make_sandbox(Path(name))


async def test_missing_permissions_of_the_agents_user_are_reported(open_box: Sandbox) -> None:
    box = open_box
    (box.root / "private").write_text("x")
    (box.root / "private").chmod(0o600)
    (box.root / "theirs").mkdir(mode=0o777)
    (box.root / "theirs").chmod(0o777)
    (box.root / "theirs/f").write_text("of root")
    with as_nobody():
        read = await box.refusal("READ", box.root / "private", length=9)
        made = await box.refusal("MAKE_DIRECTORY", box.root / "new")
        with pytest.raises(CommandFailedError) as replaced:
            await box.upload(box.root / "theirs/f", b"of nobody", overwrite=True)
        entry = await box.entry("COPY", box.root / "theirs/f", destination=box.root / "theirs/g")
    assert read[0] == made[0] == replaced.value.failure == FORBIDDEN
    assert "user (id 65534)" in read[1]
    # The file was not replaced, because its owner could not be kept.
    assert (box.root / "theirs/f").read_text() == "of root"
    assert entry.owner == "nobody"
