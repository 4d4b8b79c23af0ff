from tests.fixtures.agent.file_actions import (
    INVALID,
    Sandbox,
)


async def test_modes_and_owners_are_set_on_one_file_or_recursively(box: Sandbox) -> None:
    (box.root / "a").mkdir()
    (box.root / "a/f").write_text("f")
    (box.root / "a/way").symlink_to(box.outside / "secret")
    entry = await box.entry("CHANGE_MODE", box.root / "a/f", mode=0o4755)
    assert entry.mode == 0o4755 == (box.root / "a/f").stat().st_mode & 0o7777
    assert (await box.refusal("CHANGE_MODE", box.root / "a/f", mode=0o10000))[0] == INVALID

    outside = (box.outside / "secret").stat()
    await box.act("CHANGE_MODE", box.root / "a", mode=0o700, recursive=True)
    entry = await box.entry(
        "CHANGE_OWNER", box.root / "a", owner="nobody", group="54321", recursive=True
    )
    assert (entry.user_id, entry.group_id) == (65534, 54321)
    for path in (box.root / "a", box.root / "a/f"):
        status = path.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o700, 65534, 54321)
    await box.act("CHANGE_OWNER", box.root / "a", owner="0")
    assert (box.root / "a").stat().st_gid == 54321
    assert (box.outside / "secret").stat() == outside
    for owner in ("no-such-user", "4294967295", "-1", "²"):
        refused = await box.refusal("CHANGE_OWNER", box.root / "a", owner=owner)
        assert refused[0] == INVALID
    assert (await box.refusal("CHANGE_OWNER", box.root / "a"))[0] == INVALID
