import asyncio
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from services.kit import cancellation, subjects, telemetry
from services.kit import settings as kit_settings
from services.kit.access import Action, Actor, Role, allow, needs_object
from services.kit.errors import SettingsError
from services.kit.settings import DatabaseSettings, Settings, StrongSecret, load

ROOT = Path(__file__).parents[2]
GOOD = "kJ8s0vT2qLx9ZbWm4RcYd1Gh7NfPe3Ua"


class Example(Settings):
    token_secret: StrongSecret


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOTILLA_STATE", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("FLOTILLA_TOKEN_SECRET", raising=False)


@pytest.mark.parametrize(
    "weak",
    [
        "short-Xk9",
        "a" * 40,
        "changeme-changeme-0123456789",
        "Flotilla-0123456789-abcdefg",
        "abcdefgh" * 4,
        "0123456789" * 3,
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(
    weak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", weak)
    with pytest.raises(SettingsError, match=r"^FLOTILLA_TOKEN_SECRET is ") as raised:
        load(Example)
    assert weak not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_missing_or_empty_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", value)
        with pytest.raises(SettingsError, match="FLOTILLA_TOKEN_SECRET is not set"):
            load(Example)


def test_a_good_secret_is_taken_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", GOOD)
    loaded = load(Example)
    assert loaded.token_secret.get_secret_value() == GOOD
    assert GOOD not in repr(loaded)


def test_the_state_folders_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kit_settings.state_file().write_text(
        f"FLOTILLA_TOKEN_SECRET={GOOD}\nFLOTILLA_LOG_LEVEL=debug\nOTHER=1\n"
    )
    monkeypatch.setenv("FLOTILLA_LOG_LEVEL", "error")
    loaded = load(Example)
    assert loaded.token_secret == SecretStr(GOOD)
    assert loaded.log_level == "error"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DATABASE_URL", "mysql://u:hunter2@h/d"), ("FLOTILLA_HEALTH_PORT", "99999")],
)
def test_a_malformed_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as raised:
        load(DatabaseSettings)
    assert value not in str(raised.value)


def test_every_subject_is_flotillas() -> None:
    made = [
        value
        for name, value in vars(subjects).items()
        if name.isupper() and "." in value and name != "MAX_DELIVERIES_ALL"  # nats-server's own
    ]
    made += [
        subjects.performance("v"),
        subjects.docker("v"),
        subjects.generic("v"),
        subjects.vps_enrolled("v"),
        subjects.vps_connected("v"),
        subjects.vps_disconnected("v"),
        subjects.agent_all("v"),
        subjects.agent_durable("v"),
        subjects.deadletter("S", "d"),
        subjects.service_status("s"),
    ]
    assert len(made) >= 17
    assert all(subject.startswith("flotilla.") for subject in made)
    assert subjects.vps_of(subjects.performance("v")) == "v"
    assert subjects.vps_of(subjects.vps_connected("v")) == "v"


SUBJECT = re.compile(
    r"flotilla\.(telemetry|event|job|dlq|agent|shell|task|service|enrolment)\b|\$(KV|JS)\."
)


def strings(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.STRING and not token.string.startswith('"""'):
                yield token.string


def test_no_other_module_spells_a_subject() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}: {string}"
        for folder in ("services", "agent")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "services/kit/subjects.py" and "build" not in path.parts
        for string in strings(path)
        if SUBJECT.search(string)
    ]
    assert spelled == []


ME, OTHER = UUID(int=1), UUID(int=2)
OBJECTLESS = {Action.ACCOUNT_READ, Action.FLEET_READ, Action.VPS_CREATE}
ADMINS = {Action.AUDIT_READ}


@pytest.mark.parametrize("action", Action)
def test_a_member_acts_on_its_own_alone_and_an_admin_on_all(action: Action) -> None:
    member = Actor(ME, "m", Role.MEMBER, OTHER)
    admin = Actor(ME, "a", Role.ADMIN, OTHER)
    assert allow(member, action) is (action in OBJECTLESS)
    assert allow(member, action, ME) is (action not in OBJECTLESS | ADMINS)
    assert allow(member, action, OTHER) is False
    assert allow(admin, action, OTHER) is True
    assert needs_object(action) is (action not in OBJECTLESS | ADMINS)


def test_a_role_nobody_knows_may_do_nothing() -> None:
    stranger = Actor(ME, "x", "owner", OTHER)  # type: ignore[arg-type]  # as a later version's
    assert not any(allow(stranger, action, owner) for action in Action for owner in (None, ME))


def test_secrets_are_left_out_of_logs() -> None:
    event = {
        "event": "x",
        "token": "canary",
        "ws_ticket": "canary",
        "nats_edge_password": "canary",
        "authorization": "canary",
        "signature": b"canary",
        "vps_id": "kept",
    }
    told = telemetry._redact(None, "info", event)
    assert "canary" not in str(told)
    assert told["vps_id"] == "kept"


async def test_a_cancellation_that_comes_with_an_answer_ends_the_task() -> None:
    answer = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        with cancellation.heeded():
            await asyncio.wait_for(answer, 5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    answer.set_result(None)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_what_heeds_cancellation_can_itself_be_timed_out() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0.01):
            with cancellation.heeded():
                await asyncio.wait_for(asyncio.sleep(5), 5)

    with pytest.raises(TimeoutError):
        await wait()
