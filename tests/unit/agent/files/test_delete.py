from pathlib import Path

import pytest

from tests.fixtures.agent.file_actions import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    Sandbox,
    mounted,
    names,
    tree,
)


async def test_a_folder_with_content_is_deleted_only_recursively(box: Sandbox) -> None:
    (box.root / "a/b").mkdir(parents=True)
    (box.root / "a/b/f").touch()
    (box.root / "a/way").symlink_to(box.outside)
    assert (await box.refusal("DELETE", box.root / "a"))[0] == CONFLICT
    await box.act("DELETE", box.root / "a", recursive=True)
    assert tree(box.root) == {}
    assert tree(box.outside) == {"secret": "outside"}
    (box.root / "empty").mkdir()
    await box.act("DELETE", box.root / "empty")
    assert (await box.refusal("DELETE", box.root / "empty"))[0] == NOT_FOUND


async def test_a_file_that_changed_since_it_was_listed_is_not_deleted(box: Sandbox) -> None:
    path = box.root / "f"
    path.write_text("one")
    seen = (await box.entry("STAT", path)).version
    path.write_text("two!")
    assert (await box.refusal("DELETE", path, version=seen))[0] == CONFLICT
    await box.act("DELETE", path, version=(await box.entry("STAT", path)).version)
    assert not path.exists()


@pytest.mark.parametrize("bind", [False, True])
async def test_a_mounted_file_system_is_not_deleted(box: Sandbox, *, bind: bool) -> None:
    (box.root / "a/mounted").mkdir(parents=True)
    (box.root / "a/f").touch()
    what = ["--bind", str(box.outside)] if bind else ["-t", "tmpfs", "none"]
    with mounted(*what, at=box.root / "a/mounted"):
        (box.root / "a/mounted/precious").touch()
        for path in (box.root / "a", box.root / "a/mounted"):
            refused = await box.refusal("DELETE", path, recursive=True)
            assert refused[0] == CONFLICT
            assert "is mounted at" in refused[1]
        assert (box.root / "a/mounted/precious").exists()
        assert (box.root / "a/f").exists()


async def test_a_folder_that_is_too_deep_is_not_changed(box: Sandbox) -> None:
    (box.root / Path(*["d"] * 80)).mkdir(parents=True)
    for operation in ("DELETE", "COPY", "CHANGE_MODE"):
        fields = {"COPY": {"destination": box.root / "copy"}}.get(operation, {"recursive": True})
        assert (await box.refusal(operation, box.root / "d", **fields))[0] == INVALID
    assert names(box.root) == ["d"]
