"""`flotilla secrets`, and gateways that have the wrong master key."""

import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local.settings import seed
from services.kit.secrets.master_keys import MasterKeys
from tests.fixtures.factors import Secured, code_of, complete, secured
from tests.fixtures.world import World
from tests.integration.cli.test_command_key import WEAK, flotilla, settings

NAME = "FLOTILLA_MASTER_KEY"


def id_of(key: str) -> str:
    return MasterKeys(SecretStr(key)).current_id


async def test_a_rotation_from_the_first_start_to_the_retired_key(
    own_world: World, tmp_path: Path
) -> None:
    world, first = own_world, own_world.master_key
    path = tmp_path / "flotilla.env"
    path.write_text(f"DATABASE_URL={world.database_url}\n{NAME}={first}\nOTHER=a=b\n")
    assert "no data keys yet" in (await flotilla(tmp_path, "secrets", "status"))[1]
    world.start("gateway")
    await world.ready("gateway")
    users = [await secured(world) for _ in range(3)]
    code, said = await flotilla(tmp_path, "secrets", "status")
    assert (code, f"wrapped by {id_of(first)}" in said) == (0, True)
    assert "totp_factors.seed: 3, of which 3 with the newest data key" in said
    code, said = await flotilla(tmp_path, "secrets", "retire")
    assert (code, "no master key to retire" in said) == (2, True)

    code, told = await flotilla(tmp_path, "secrets", "rotate", "--batch=2")
    assert code == 0, told
    after = settings(tmp_path)
    second = after[NAME]
    assert after == {
        "DATABASE_URL": world.database_url,
        "OTHER": "a=b",
        NAME: second,
        f"{NAME}_PREVIOUS": first,
    }
    assert second != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "3 values encrypted again, 1 data keys deleted" in told
    await logs_in(users[0], code_of(users[0].secret))
    assert "Restart every gateway" in told

    # Gateways start with the old, both and the new settings. The next run makes no further key.
    for key, previous in ((first, None), (second, first)):
        await world.stop("gateway")
        world.start("gateway", master_key=key, master_key_previous=previous)
        await world.ready("gateway")
        await logs_in(users[1], await users[1].fresh())
    code, again = await flotilla(tmp_path, "secrets", "rotate", "--batch=1")
    assert (code, "0 values encrypted again, 0 data keys deleted" in again) == (0, True)
    assert settings(tmp_path) == after
    code, said = await flotilla(tmp_path, "secrets", "status")
    assert (code, "then run `flotilla secrets retire`" in said) == (0, True)

    code, retired = await flotilla(tmp_path, "secrets", "retire")
    assert (code, "1 wrapped data keys" in retired) == (0, True)
    assert settings(tmp_path) == {
        "DATABASE_URL": world.database_url,
        "OTHER": "a=b",
        NAME: second,
    }
    await world.stop("gateway")
    world.start("gateway", master_key=second)
    await world.ready("gateway")
    await logs_in(users[2], await users[2].fresh())
    for key in (first, second):
        assert key not in told + again + said + retired


async def logs_in(user: Secured, code: str) -> None:
    answer = await complete(user.world.anonymous(), await user.challenge(), code)
    assert answer.status_code == 200, answer.text


async def test_a_rotation_with_the_wrong_key_changes_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "flotilla.env"
    text = f"DATABASE_URL={world.database_url}\n{NAME}={seed()}\n"
    path.write_text(text)
    code, said = await flotilla(tmp_path, "secrets", "rotate")
    assert (code, id_of(world.master_key) in said) == (2, True)
    code, said = await flotilla(tmp_path, "secrets", "status")
    assert (code, id_of(world.master_key) in said) == (1, True)
    assert path.read_text() == text


async def test_a_rotation_does_not_change_a_key_in_the_environment(
    world: World, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": world.database_url, NAME: world.master_key}
    code, said = await flotilla(tmp_path, "secrets", "rotate", **environment)
    assert (code, f"{NAME} is set in the environment" in said) == (2, True)


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
async def test_a_weak_master_key_stops_the_gateway_at_its_start(
    world: World, weak: str, tmp_path: Path
) -> None:
    environment = world.environment() | {NAME: weak}
    code, said = await flotilla(tmp_path, "run", "gateway", **environment)
    assert (code, f"{NAME} is not 32 random bytes" in said) == (2, True)
    assert weak not in said


async def test_a_missing_or_wrong_master_key_stops_the_gateway_at_its_start(
    world: World, tmp_path: Path
) -> None:
    environment = world.environment()
    del environment[NAME]
    code, said = await flotilla(tmp_path, "run", "gateway", **environment)
    assert (code, f"{NAME} is not set" in said) == (2, True)

    wrong = seed()
    code, said = await flotilla(tmp_path, "run", "gateway", **environment, **{NAME: wrong})
    failure = next(
        line for line in map(json.loads, said.splitlines()) if line["event"] == "service_failed"
    )
    assert code == 1
    assert f"FLOTILLA_MASTER_KEY is the key {id_of(wrong)}" in failure["error"]
    assert f"master key {id_of(world.master_key)}" in failure["error"]
    assert "Traceback" not in said
    assert wrong not in said
