"""The line that installs an agent: the certificate and key that it pins, and its permissions."""

import shlex
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from deploy.local.certificates import fingerprint
from services.kit.agents.commands import Signer
from tests.fixtures.world import World


async def line(user: httpx.AsyncClient, powers: dict[str, Any] | None) -> list[str]:
    """Create a server; return the words of its install line after `sh -s --`."""
    made = await user.post("/vps", json={"name": "box"} | ({"powers": powers} if powers else {}))
    assert made.status_code == 201, made.text
    words = shlex.split(made.json()["enrolment"]["install_command"])
    return words[words.index("--") + 1 :]


async def test_it_pins_the_authority_and_the_command_key_and_asks_for_nothing(
    world: World,
) -> None:
    user = await world.user("member")
    key = Signer.of(SecretStr(world.command_key)).public_key
    pinned = [world.http, fingerprint(world.certificates / "ca.pem"), key.hex()]
    assert await line(user, None) == pinned
    assert await line(user, {"files": "off", "docker": "off"}) == pinned


async def test_it_asks_for_what_was_ticked(world: World) -> None:
    user = await world.user("member")
    everything = {
        "shell": True,
        "commands": True,
        "files": "write",
        "docker": "actions",
        "file_roots": ["/srv", "/home/a b; $(reboot)"],
        "run_as": "root",
    }
    assert (await line(user, everything))[3:] == [
        "--shell",
        "--commands",
        "--files=write",
        "--file-root=/srv",
        "--file-root=/home/a b; $(reboot)",
        "--docker=actions",
        "--run-as=root",
    ]
    assert (await line(user, {"files": "read"}))[3:] == ["--files=read", "--file-root=/"]
    assert (await line(user, {"docker": "read", "file_roots": ["/srv"]}))[3:] == ["--docker=read"]


async def test_a_new_line_for_a_known_server_asks_anew(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "box"})).json()["id"]
    path = f"/vps/{vps_id}/enrolment"
    bare = await user.post(path)
    ticked = await user.post(path, json={"powers": {"shell": True}})
    assert (bare.status_code, ticked.status_code) == (201, 201)
    assert "--shell" not in bare.json()["install_command"]
    assert ticked.json()["install_command"].endswith(" --shell")


@pytest.mark.parametrize(
    "powers",
    [
        {"file_roots": ["srv"], "files": "read"},
        {"file_roots": [""], "files": "read"},
        {"file_roots": ["/srv/../etc"], "files": "read"},
        {"file_roots": ["/.."], "files": "read"},
        {"file_roots": ["/srv\nreboot"], "files": "read"},
        {"file_roots": ["/srv\u0000"], "files": "read"},
        {"file_roots": ["/" + "a" * 512], "files": "read"},
        {"file_roots": ["/srv"] * 33, "files": "read"},
        {"files": "all"},
        {"docker": "socket"},
        {"run_as": "www-data"},
        {"sudo": True},
    ],
)
async def test_what_cannot_be_asked_for_is_refused(world: World, powers: dict[str, Any]) -> None:
    user = await world.user("member")
    answer = await user.post("/vps", json={"name": "box", "powers": powers})
    assert answer.status_code in {400, 422}, answer.text
    assert (await user.get("/vps")).json()["total"] == 0


async def test_names_with_dots_are_no_way_out(world: World) -> None:
    user = await world.user("member")
    roots = ["/srv/..data", "/srv/a..b", "/..."]
    words = await line(user, {"files": "read", "file_roots": roots})
    assert words[4:] == [f"--file-root={root}" for root in roots]
