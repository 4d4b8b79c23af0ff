import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.base.errors import AgentError, NotEnrolledError
from agent.base.identity import Identity, StateFolder
from agent.commands.command_history_db import CommandHistoryDatabase
from agent.spool.database import SpoolDatabase
from agent.spool.models import Quota
from flotilla.v1.agent_pb2 import AgentConfig

IDENTITY = Identity(
    vps_id="vps-1",
    address="edge.example:8443",
    ca_certificate="PEM",
    key=SigningKey(bytes(32)),
    command_keys=(bytes(range(32)),),
)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    return state


def test_an_identity_is_read_as_it_was_saved(state: StateFolder) -> None:
    state.save_identity(IDENTITY)

    assert state.load_identity() == IDENTITY


def test_other_trusted_keys_change_nothing_else(state: StateFolder) -> None:
    state.save_identity(IDENTITY)
    state.save_pushed_config(AgentConfig(revision=3))

    state.save_command_keys((bytes(32),))

    assert state.load_identity() == dataclasses.replace(IDENTITY, command_keys=(bytes(32),))
    assert state.load_pushed_config().revision == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="writing for another user needs root")
def test_files_that_root_writes_belong_to_the_user_of_the_folder(state: StateFolder) -> None:
    os.chown(state.path, 12345, 54321)

    state.save_identity(IDENTITY)

    status = (state.path / "identity.json").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o600)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file that links in the folder lead to."""
    other = tmp_path / "shadow"
    other.write_text("root's own")
    other.chmod(0o640)
    return other


def untouched(other: Path) -> bool:
    status = other.stat()
    return (other.read_text(), status.st_uid, stat.S_IMODE(status.st_mode)) == (
        "root's own",
        os.geteuid(),
        0o640,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="writing for another user needs root")
def test_root_does_not_write_through_links_of_the_user_of_the_folder(
    state: StateFolder, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save_identity(IDENTITY)
    os.chown(state.path, 12345, 54321)
    (state.path / f".identity.json.{os.getpid()}").symlink_to(other)

    state.save_command_keys((bytes(32),))

    assert untouched(other)
    assert state.load_identity().command_keys == (bytes(32),)
    monkeypatch.setattr(os, "urandom", bytes)
    (state.path / f".identity.json.{bytes(16).hex()}").symlink_to(other)
    with pytest.raises(FileExistsError):
        state.save_command_keys((bytes(32),))
    assert untouched(other)


def test_a_link_or_a_pipe_in_place_of_a_file_is_neither_followed_nor_waited_for(
    state: StateFolder, other: Path
) -> None:
    for name in ("lock", "identity.json"):
        (state.path / name).symlink_to(other)
    os.mkfifo(state.path / "pushed-config.pb")

    with pytest.raises(AgentError, match="is a link"):
        state.lock()
    with pytest.raises(AgentError, match="is a link"):
        state.load_identity()
    assert state.load_pushed_config() == AgentConfig()

    assert untouched(other)


@pytest.mark.parametrize(
    "open_file", [lambda path: SpoolDatabase(path, Quota()), CommandHistoryDatabase]
)
def test_no_database_is_made_or_opened_through_a_link(
    state: StateFolder, tmp_path: Path, open_file: Callable[[Path], object]
) -> None:
    (state.path / "data.db").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(AgentError, match="is a link"):
        open_file(state.path / "data.db")

    assert not (tmp_path / "elsewhere").exists()


def test_a_link_is_no_state_folder(state: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(state.path)
    linked = StateFolder(tmp_path / "link")

    for use in (linked.prepare, linked.lock):
        with pytest.raises(AgentError, match="not a link"):
            use()
    with pytest.raises(NotADirectoryError):
        linked.save_identity(IDENTITY)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
def test_root_does_not_run_in_another_users_folder(state: StateFolder) -> None:
    os.chown(state.path, 12345, 54321)

    with pytest.raises(AgentError, match="belongs to another user"):
        state.lock()


def test_saved_files_are_readable_only_by_their_owner(state: StateFolder) -> None:
    state.save_identity(IDENTITY)
    state.save_pushed_config(AgentConfig(revision=1))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in state.path.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_a_folder_without_an_identity_says_what_to_do(state: StateFolder) -> None:
    with pytest.raises(NotEnrolledError, match="Add this server in the console"):
        state.load_identity()


@pytest.mark.parametrize("content", ["", "[]", '{"vps_id": "v"}', '{"vps_id":1,"key":"x"}'])
def test_a_damaged_identity_is_told_apart_from_a_missing_one(
    state: StateFolder, content: str
) -> None:
    (state.path / "identity.json").write_text(content)

    with pytest.raises(AgentError, match="damaged"):
        state.load_identity()


def test_the_text_of_an_identity_does_not_show_the_key() -> None:
    assert "key=" not in repr(IDENTITY).replace("command_keys=", "")


def test_pushed_configuration_outlives_a_restart(state: StateFolder) -> None:
    pushed = AgentConfig(revision=3, report_interval_ms=5_000)

    state.save_pushed_config(pushed)

    assert StateFolder(state.path).load_pushed_config() == pushed


def test_damaged_pushed_configuration_counts_as_none(state: StateFolder) -> None:
    (state.path / "pushed-config.pb").write_bytes(b"\xff\xff")

    assert state.load_pushed_config() == AgentConfig()


def test_a_new_identity_forgets_what_was_pushed_to_the_old_one(state: StateFolder) -> None:
    state.save_pushed_config(AgentConfig(revision=3))

    state.save_identity(IDENTITY)

    assert state.load_pushed_config() == AgentConfig()


def test_a_write_that_fails_leaves_the_old_content_and_no_draft(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save_identity(IDENTITY)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        state.save_pushed_config(AgentConfig(revision=3))

    assert [path.name for path in state.path.iterdir()] == ["identity.json"]
    assert state.load_identity() == IDENTITY


def test_a_second_agent_is_kept_off_the_folder(state: StateFolder) -> None:
    with state.lock(), pytest.raises(AgentError, match="Another agent"):
        state.lock()

    state.lock().close()


def test_the_challenge_signature_binds_server_nonce_and_id() -> None:
    nonce = bytes(range(32))

    signature = IDENTITY.sign_challenge(nonce)

    message = b"flotilla-stream-v1\0vps-1\0" + nonce
    assert IDENTITY.key.verify_key.verify(message, signature) == message
