"""Where paths lead, and where they never do."""

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.execute.failure import CommandFailedError
from flotilla.v1.agent_pb2 import Powers
from tests.unit.agent.filebox import (
    CONFLICT,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    FileBox,
    as_nobody,
    filebox,
    mounted,
    names,
    tree,
)

RACE = 2.0  # seconds


@pytest.fixture
def box(tmp_path: Path) -> FileBox:
    return filebox(tmp_path)


@pytest.fixture
def whole(tmp_path: Path) -> FileBox:
    """With the whole host for its folder."""
    return filebox(tmp_path, file_roots=(Path("/"),))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("ROOT/../outside/secret", "no .."),
        ("ROOT/a/../../outside/secret", "no .."),
        ("root/secret", "begins with /"),
        ("ROOT/a\0b", "no NUL"),
        ("ROOT/" + "a/" * 2048, "4096 bytes"),
        ("ROOT/" + "a" * 300, "too long"),
    ],
)
async def test_a_path_that_is_not_plain_is_refused(box: FileBox, path: str, reason: str) -> None:
    failure, said = await box.refusal("READ", path.replace("ROOT", str(box.root)), length=9)
    assert failure == INVALID
    assert reason in said


@pytest.mark.parametrize("operation", ["LIST", "STAT", "READ", "CHECKSUM", "DELETE", "EXTRACT"])
async def test_a_path_outside_the_policys_folders_is_refused(box: FileBox, operation: str) -> None:
    for path in (box.outside / "secret", box.root.parent, "/", f"{box.root}x"):
        failure, said = await box.refusal(operation, path)
        assert failure == FORBIDDEN
        assert "(ROOT)" in said
    assert (box.outside / "secret").read_text() == "outside"


async def test_slashes_and_dots_too_many_change_nothing(box: FileBox) -> None:
    (box.root / "a").mkdir()
    (box.root / "a/b").write_text("b")
    assert (await box.chunk(f"/{box.root}//a/./b")).data == b"b"
    assert (await box.act("LIST", f"{box.root}/a/./")).listing.path == f"{box.root}/a"


@pytest.mark.parametrize(
    "target",
    ["OUTSIDE/secret", "../outside/secret", "a/../../outside/secret", "//OUTSIDE/secret", "chain"],
)
async def test_a_link_that_leads_out_is_not_followed(box: FileBox, target: str) -> None:
    (box.root / "a").mkdir()
    (box.root / "chain").symlink_to(box.root / "chain2")
    (box.root / "chain2").symlink_to(box.outside / "secret")
    (box.root / "link").symlink_to(target.replace("OUTSIDE", str(box.outside)))

    failure, said = await box.refusal("READ", box.root / "link", length=9)
    assert failure == FORBIDDEN
    assert said.startswith("ROOT/link leads out of the folders")
    for operation in ("CHECKSUM", "LIST", "CHANGE_MODE", "WRITE"):
        fields = {"upload_id": "0" * 32, "data": b"x"} if operation == "WRITE" else {}
        assert (await box.refusal(operation, box.root / "link", **fields))[0] == FORBIDDEN
    assert (box.outside / "secret").read_text() == "outside"


async def test_a_folder_that_is_a_link_out_is_not_passed(box: FileBox) -> None:
    (box.root / "way").symlink_to(box.outside)
    path = box.root / "way/secret"
    for operation in ("LIST", "STAT", "READ", "DELETE", "MAKE_DIRECTORY", "CHECKSUM"):
        assert (await box.refusal(operation, path))[0] == FORBIDDEN
    (box.root / "mine").write_text("mine")
    moved = await box.refusal("RENAME", box.root / "mine", destination=box.root / "way/mine")
    assert moved[0] == FORBIDDEN
    assert tree(box.outside) == {"secret": "outside"}


async def test_links_inside_are_followed_as_the_kernel_does(box: FileBox) -> None:
    for folder in ("a/b", "other/deep"):
        (box.root / folder).mkdir(parents=True)
    (box.root / "a/f").write_text("of a")
    (box.root / "other/f").write_text("of other")
    links = {
        "absolute": box.root / "a/f",
        "relative": Path("a/b/../f"),
        "deep": Path("other/deep"),
        # Up from where the link leads, not from where it lies.
        "beside": Path("deep/../f"),
        "home": Path("a/b/../../a/f"),
    }
    for name, target in links.items():
        (box.root / name).symlink_to(target)

    read = {name: (await box.chunk(box.root / name)).data for name in links if name != "deep"}
    assert read == {name: (box.root / name).read_bytes() for name in read}
    assert read["beside"] == b"of other"


async def test_links_in_a_circle_end(box: FileBox) -> None:
    (box.root / "a").symlink_to("b")
    (box.root / "b").symlink_to("a")
    (box.root / "up").symlink_to("./" + "../root/" * 400 + "up")
    for name in ("a", "up"):
        failure, said = await box.refusal("READ", box.root / name, length=9)
        assert failure == INVALID
        assert "leads through" in said


async def test_a_link_from_one_allowed_folder_to_another_is_followed(tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "f").write_text("second")
    box = filebox(tmp_path, file_roots=(tmp_path / "root", second))
    (box.root / "link").symlink_to("../second/f")
    assert (await box.chunk(box.root / "link")).data == b"second"


async def test_a_folder_that_the_policy_names_by_a_link_stays_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to("root")
    box = filebox(tmp_path, file_roots=(tmp_path / "named",))
    (box.root / "f").write_text("inside")
    assert (await box.chunk(tmp_path / "named/f")).data == b"inside"
    (tmp_path / "named").unlink()
    (tmp_path / "named").symlink_to("outside")
    assert await box.names(tmp_path / "named") == ["f"]


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
async def test_the_kernels_file_systems_are_not_touched(whole: FileBox, path: str) -> None:
    for operation in ("STAT", "LIST", "READ"):
        failure, said = await whole.refusal(operation, path, length=9)
        assert failure == FORBIDDEN
        assert "the kernel's" in said


async def test_they_are_not_touched_by_way_of_a_link_or_another_mount(whole: FileBox) -> None:
    (whole.root / "link").symlink_to("/proc/self/environ")
    assert (await whole.refusal("READ", whole.root / "link", length=9))[0] == FORBIDDEN
    (whole.root / "bound").mkdir()
    with mounted("--bind", "/proc/sys", at=whole.root / "bound"):
        failure, said = await whole.refusal("LIST", whole.root / "bound/kernel")
    assert (failure, "the kernel's" in said) == (FORBIDDEN, True)
    assert "proc" in await whole.names("/")


async def test_what_is_no_file_is_never_opened(whole: FileBox) -> None:
    os.mkfifo(whole.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(whole.root):
        listener.bind("socket")
    for path in (whole.root / "pipe", whole.root / "socket", "/dev/zero", "/dev/null"):
        for operation in ("READ", "CHECKSUM"):
            failure, said = await whole.refusal(operation, path, length=9)
            assert (failure, "never opened" in said) == (INVALID, True)
    listed = (await whole.act("LIST")).listing.entries
    assert {entry.name: entry.kind for entry in listed} == {"pipe": 4, "socket": 4}
    assert "zero" in await whole.names("/dev")


async def test_the_agents_own_is_not_touched(whole: FileBox) -> None:
    key = whole.own / "identity.json"
    os.link(key, whole.root / "hard")
    (whole.root / "soft").symlink_to(key)
    (whole.root / "bound").touch()
    with mounted("--bind", str(key), at=whole.root / "bound"):
        for path in (key, whole.root / "hard", whole.root / "soft", whole.root / "bound"):
            for operation in ("READ", "CHECKSUM", "CHANGE_MODE"):
                failure, said = await whole.refusal(operation, path, length=9)
                assert (failure, "the agent's own" in said) == (FORBIDDEN, True)
    for operation in ("LIST", "STAT", "DELETE"):
        assert (await whole.refusal(operation, whole.own, recursive=True))[0] == FORBIDDEN
    new = {"upload_id": "0" * 32, "data": b"x"}
    assert (await whole.refusal("WRITE", whole.own / "policy.toml", **new))[0] == FORBIDDEN
    assert tree(whole.own) == {"identity.json": "the key"}


@pytest.mark.parametrize("operation", ["DELETE", "CHANGE_MODE", "CHANGE_OWNER", "COPY", "RENAME"])
async def test_a_folder_that_holds_the_agents_own_stays_as_it_is(
    whole: FileBox, operation: str
) -> None:
    parent = whole.own.parent
    fields: dict[str, Any] = {"destination": f"{parent}-copy"}
    if operation.startswith("CHANGE"):
        fields = {"mode": 0o777, "owner": "nobody"}
    before = tree(parent), parent.stat().st_mode
    beside = names(parent.parent)

    failure, said = await whole.refusal(operation, parent, recursive=True, **fields)
    assert (failure, "the agent's own" in said) == (FORBIDDEN, True)
    assert (tree(parent), parent.stat().st_mode) == before
    assert names(parent.parent) == beside
    packed = await whole.refusal(
        "ARCHIVE", parent, names=["root", "own"], destination=whole.root / "x"
    )
    assert packed[0] == FORBIDDEN


async def test_a_policy_file_that_does_not_exist_yet_cannot_be_made(tmp_path: Path) -> None:
    box = filebox(tmp_path)
    policy = box.root / "policy.toml"
    box.files._forbidden = [policy]
    data = {"upload_id": "0" * 32, "data": b"shell = true"}
    assert (await box.refusal("WRITE", policy, **data))[0] == FORBIDDEN
    (box.root / "mine").write_text("shell = true")
    moved = await box.refusal("RENAME", box.root / "mine", destination=policy)
    assert moved[0] == FORBIDDEN
    assert not policy.exists()


async def test_the_policys_folder_itself_is_not_deleted_or_renamed(box: FileBox) -> None:
    (box.root / "f").touch()
    for operation in ("DELETE", "RENAME"):
        fields = {"recursive": True, "destination": box.root / "x"}
        assert (await box.refusal(operation, f"{box.root}/", **fields))[0] == FORBIDDEN
    assert tree(box.root) == {"f": ""}


async def test_without_the_power_nothing_is_done_and_the_reason_says_how(tmp_path: Path) -> None:
    off = filebox(tmp_path, files=Powers.FILE_ACCESS_UNSPECIFIED)
    failure, said = await off.refusal("LIST")
    assert failure == FORBIDDEN
    assert 'files = "read"' in said
    assert "policy.toml" in said

    reader = filebox(tmp_path, files=Powers.FILE_ACCESS_READ)
    (reader.root / "f").write_text("f")
    assert await reader.names() == ["f"]
    changes = ["WRITE", "COMMIT", "ABORT", "UPLOAD_STATE", "MAKE_DIRECTORY", "RENAME", "COPY"]
    changes += ["DELETE", "CHANGE_MODE", "CHANGE_OWNER", "ARCHIVE", "EXTRACT"]
    for operation in changes:
        failure, said = await reader.refusal(operation, reader.root / "f", upload_id="0" * 32)
        assert (failure, 'files = "write"' in said) == (FORBIDDEN, True)
    assert (await reader.refusal("UNSPECIFIED"))[0] == INVALID
    assert tree(reader.root) == {"f": "f"}


async def test_no_folder_in_the_policy_means_none(tmp_path: Path) -> None:
    box = filebox(tmp_path, file_roots=())
    assert (await box.refusal("LIST", "/"))[0] == FORBIDDEN


async def test_a_link_swapped_in_meanwhile_never_leads_out(box: FileBox) -> None:
    (box.root / "x").mkdir()
    (box.root / "x/secret").write_text("inside")
    outcomes = {"inside": 0, "refused": 0}
    with flipping(box.root / "x", box.outside) as under_way:
        while under_way():
            try:
                data = (await box.chunk(box.root / "x/secret")).data
            except CommandFailedError as error:
                outcomes["refused"] += error.failure in {FORBIDDEN, NOT_FOUND, CONFLICT}
            else:
                assert data == b"inside"
                outcomes["inside"] += 1
    assert min(outcomes.values()) > 5, outcomes


async def test_nor_does_a_change(box: FileBox) -> None:
    (box.root / "x").mkdir()
    done = 0
    with flipping(box.root / "x", box.outside) as under_way:
        while under_way():
            with contextlib.suppress(CommandFailedError):
                await box.upload(box.root / "x/new", b"written", overwrite=True)
                await box.act("COPY", box.root / "x/new", destination=box.root / "x/secret")
                await box.act("CHANGE_MODE", box.root / "x/secret", mode=0o777)
                await box.act("DELETE", box.root / "x", recursive=True)
                done += 1
            with contextlib.suppress(FileExistsError):
                (box.root / "x.away").mkdir()
    assert tree(box.outside) == {"secret": "outside"}
    assert (box.outside / "secret").stat().st_mode & 0o777 != 0o777


@pytest.fixture
def open_box() -> Iterator[FileBox]:
    """In a folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield filebox(Path(name))


async def test_what_the_agents_user_may_not_do_is_forbidden(open_box: FileBox) -> None:
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
    # It could not keep the owner, on whom others may rely.
    assert (box.root / "theirs/f").read_text() == "of root"
    assert entry.owner == "nobody"


@contextlib.contextmanager
def flipping(folder: Path, other: Path) -> Iterator[Callable[[], bool]]:
    """In turn what it was and a link to `other`, as fast as it goes, for some time."""
    away, link = folder.with_name("x.away"), folder.with_name("x.link")
    end = time.monotonic() + RACE

    def flip() -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                folder.rename(away)
            with contextlib.suppress(OSError):
                link.symlink_to(other)
            with contextlib.suppress(OSError):
                link.rename(folder)
            with contextlib.suppress(OSError):
                folder.unlink()
            with contextlib.suppress(OSError):
                away.rename(folder)

    flipper = threading.Thread(target=flip)
    flipper.start()
    yield lambda: time.monotonic() < end
    flipper.join()
