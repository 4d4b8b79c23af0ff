"""Paths never lead out of the folders that the policy allows."""

from pathlib import Path

import pytest

from tests.fixtures.agent.file_actions import (
    FORBIDDEN,
    INVALID,
    Sandbox,
    make_sandbox,
    tree,
)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("ROOT/../outside/secret", "must not contain `..`"),
        ("ROOT/a/../../outside/secret", "must not contain `..`"),
        ("root/secret", "must begin with /"),
        ("ROOT/a\0b", "NUL character"),
        ("ROOT/" + "a/" * 2048, "4096 bytes"),
        ("ROOT/" + "a" * 300, "too long"),
    ],
)
async def test_a_malformed_path_is_refused(box: Sandbox, path: str, reason: str) -> None:
    failure, text = await box.refusal("READ", path.replace("ROOT", str(box.root)), length=9)
    assert failure == INVALID
    assert reason in text


@pytest.mark.parametrize("operation", ["LIST", "STAT", "READ", "CHECKSUM", "DELETE", "EXTRACT"])
async def test_a_path_outside_the_policys_folders_is_refused(box: Sandbox, operation: str) -> None:
    for path in (box.outside / "secret", box.root.parent, "/", f"{box.root}x"):
        failure, reason = await box.refusal(operation, path)
        assert failure == FORBIDDEN
        assert "(ROOT)" in reason
    assert (box.outside / "secret").read_text() == "outside"


async def test_extra_slashes_and_dots_are_ignored(box: Sandbox) -> None:
    (box.root / "a").mkdir()
    (box.root / "a/b").write_text("b")
    assert (await box.chunk(f"/{box.root}//a/./b")).data == b"b"
    assert (await box.act("LIST", f"{box.root}/a/./")).listing.path == f"{box.root}/a"


@pytest.mark.parametrize(
    "target",
    ["OUTSIDE/secret", "../outside/secret", "a/../../outside/secret", "//OUTSIDE/secret", "chain"],
)
async def test_a_link_that_leads_out_is_not_followed(box: Sandbox, target: str) -> None:
    (box.root / "a").mkdir()
    (box.root / "chain").symlink_to(box.root / "chain2")
    (box.root / "chain2").symlink_to(box.outside / "secret")
    (box.root / "link").symlink_to(target.replace("OUTSIDE", str(box.outside)))

    failure, reason = await box.refusal("READ", box.root / "link", length=9)
    assert failure == FORBIDDEN
    assert reason.startswith("ROOT/link leads out of the folders")
    for operation in ("CHECKSUM", "LIST", "CHANGE_MODE", "WRITE"):
        fields = {"upload_id": "0" * 32, "data": b"x"} if operation == "WRITE" else {}
        assert (await box.refusal(operation, box.root / "link", **fields))[0] == FORBIDDEN
    assert (box.outside / "secret").read_text() == "outside"


async def test_a_link_to_an_outside_folder_is_not_passed(box: Sandbox) -> None:
    (box.root / "way").symlink_to(box.outside)
    path = box.root / "way/secret"
    for operation in ("LIST", "STAT", "READ", "DELETE", "MAKE_DIRECTORY", "CHECKSUM"):
        assert (await box.refusal(operation, path))[0] == FORBIDDEN
    (box.root / "mine").write_text("mine")
    moved = await box.refusal("RENAME", box.root / "mine", destination=box.root / "way/mine")
    assert moved[0] == FORBIDDEN
    assert tree(box.outside) == {"secret": "outside"}


async def test_links_inside_are_followed_like_the_kernel_does(box: Sandbox) -> None:
    for folder in ("a/b", "other/deep"):
        (box.root / folder).mkdir(parents=True)
    (box.root / "a/f").write_text("of a")
    (box.root / "other/f").write_text("of other")
    links = {
        "absolute": box.root / "a/f",
        "relative": Path("a/b/../f"),
        "deep": Path("other/deep"),
        # `..` is relative to the target of the link, not to the link.
        "beside": Path("deep/../f"),
        "home": Path("a/b/../../a/f"),
    }
    for name, target in links.items():
        (box.root / name).symlink_to(target)

    read = {name: (await box.chunk(box.root / name)).data for name in links if name != "deep"}
    assert read == {name: (box.root / name).read_bytes() for name in read}
    assert read["beside"] == b"of other"


async def test_links_in_a_circle_end(box: Sandbox) -> None:
    (box.root / "a").symlink_to("b")
    (box.root / "b").symlink_to("a")
    (box.root / "up").symlink_to("./" + "../root/" * 400 + "up")
    for name in ("a", "up"):
        failure, reason = await box.refusal("READ", box.root / name, length=9)
        assert failure == INVALID
        assert "leads through" in reason


async def test_a_link_from_one_allowed_folder_to_another_is_followed(tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "f").write_text("second")
    box = make_sandbox(tmp_path, file_roots=(tmp_path / "root", second))
    (box.root / "link").symlink_to("../second/f")
    assert (await box.chunk(box.root / "link")).data == b"second"


async def test_a_link_in_the_policy_is_resolved_once_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to("root")
    box = make_sandbox(tmp_path, file_roots=(tmp_path / "named",))
    (box.root / "f").write_text("inside")
    assert (await box.chunk(tmp_path / "named/f")).data == b"inside"
    (tmp_path / "named").unlink()
    (tmp_path / "named").symlink_to("outside")
    assert await box.names(tmp_path / "named") == ["f"]


async def test_a_policy_without_folders_allows_no_path(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path, file_roots=())
    assert (await box.refusal("LIST", "/"))[0] == FORBIDDEN
