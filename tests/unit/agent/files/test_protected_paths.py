import os
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.agent.file_actions import (
    FORBIDDEN,
    Sandbox,
    make_sandbox,
    mounted,
    names,
    tree,
)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/environ",
        "/proc/self/root/etc/hostname",
        "/proc",
        "/sys/kernel/uevent_seqnum",
        "/dev/fd/0",
        "/dev/pts",
    ],
)
async def test_kernel_file_systems_are_not_accessed(whole: Sandbox, path: str) -> None:
    for operation in ("STAT", "LIST", "READ"):
        failure, reason = await whole.refusal(operation, path, length=9)
        assert failure == FORBIDDEN
        assert "the kernel's" in reason


async def test_kernel_file_systems_are_not_accessed_through_a_link_or_a_bind_mount(
    whole: Sandbox,
) -> None:
    (whole.root / "link").symlink_to("/proc/self/environ")
    assert (await whole.refusal("READ", whole.root / "link", length=9))[0] == FORBIDDEN
    (whole.root / "bound").mkdir()
    with mounted("--bind", "/proc/sys", at=whole.root / "bound"):
        failure, reason = await whole.refusal("LIST", whole.root / "bound/kernel")
    assert (failure, "the kernel's" in reason) == (FORBIDDEN, True)
    assert "proc" in await whole.names("/")


async def test_the_agents_own_files_are_not_accessed(whole: Sandbox) -> None:
    key = whole.own / "identity.json"
    os.link(key, whole.root / "hard")
    (whole.root / "soft").symlink_to(key)
    (whole.root / "bound").touch()
    with mounted("--bind", str(key), at=whole.root / "bound"):
        for path in (key, whole.root / "hard", whole.root / "soft", whole.root / "bound"):
            for operation in ("READ", "CHECKSUM", "CHANGE_MODE"):
                failure, reason = await whole.refusal(operation, path, length=9)
                assert (failure, "the agent's own" in reason) == (FORBIDDEN, True)
    for operation in ("LIST", "STAT", "DELETE"):
        assert (await whole.refusal(operation, whole.own, recursive=True))[0] == FORBIDDEN
    new = {"upload_id": "0" * 32, "data": b"x"}
    assert (await whole.refusal("WRITE", whole.own / "policy.toml", **new))[0] == FORBIDDEN
    assert tree(whole.own) == {"identity.json": "the key"}


@pytest.mark.parametrize("operation", ["DELETE", "CHANGE_MODE", "CHANGE_OWNER", "COPY", "RENAME"])
async def test_a_folder_with_the_agents_own_files_is_not_changed(
    whole: Sandbox, operation: str
) -> None:
    parent = whole.own.parent
    fields: dict[str, Any] = {"destination": f"{parent}-copy"}
    if operation.startswith("CHANGE"):
        fields = {"mode": 0o777, "owner": "nobody"}
    before = tree(parent), parent.stat().st_mode
    beside = names(parent.parent)

    failure, reason = await whole.refusal(operation, parent, recursive=True, **fields)
    assert (failure, "the agent's own" in reason) == (FORBIDDEN, True)
    assert (tree(parent), parent.stat().st_mode) == before
    assert names(parent.parent) == beside
    packed = await whole.refusal(
        "ARCHIVE", parent, names=["root", "own"], destination=whole.root / "x"
    )
    assert packed[0] == FORBIDDEN


async def test_a_missing_policy_file_cannot_be_created(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path)
    policy = box.root / "policy.toml"
    box.files._protected = [policy]
    data = {"upload_id": "0" * 32, "data": b"shell = true"}
    assert (await box.refusal("WRITE", policy, **data))[0] == FORBIDDEN
    (box.root / "mine").write_text("shell = true")
    moved = await box.refusal("RENAME", box.root / "mine", destination=policy)
    assert moved[0] == FORBIDDEN
    assert not policy.exists()


async def test_a_folder_of_the_policy_is_not_deleted_or_renamed(box: Sandbox) -> None:
    (box.root / "f").touch()
    for operation in ("DELETE", "RENAME"):
        fields = {"recursive": True, "destination": box.root / "x"}
        assert (await box.refusal(operation, f"{box.root}/", **fields))[0] == FORBIDDEN
    assert tree(box.root) == {"f": ""}
