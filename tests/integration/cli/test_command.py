"""The `flotilla` command, as a person runs it."""

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from flotilla.v1.agent_pb2 import BatchAck, MessageToServer
from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from tests.fixtures.waiting import until
from tests.fixtures.world import PASSWORD, World

COMMAND = str(Path(sys.executable).with_name("flotilla"))


async def start(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    # A shell starts its background jobs with SIGINT ignored, and programs inherit that. `env` restores
    # it. A Python function between fork and exec would run handlers of gRPC, which can crash.
    return await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT", COMMAND, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "FLOTILLA_STATE": "/nonexistent", **environment},
    )


async def run(
    environment: dict[str, str], *arguments: str, words: str = ""
) -> tuple[int | None, str, str]:
    process = await start(environment, *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate(words.encode())
    return process.returncode, out.decode(), err.decode()


async def tail(world: World, *options: str) -> list[dict[str, object]]:
    """Two reports of an agent, as `flotilla tail` prints them."""
    agent = await world.enrolled(await world.user())
    await agent.connect()
    process = await start(
        world.environment(), "tail", f"telemetry.{agent.vps_id}.>", "--count", "2", *options
    )
    assert process.stdout is not None
    lines: list[dict[str, object]] = []
    async with asyncio.timeout(30):
        while len(lines) < 2:
            await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())
            try:
                async with asyncio.timeout(0.5):
                    lines.append(json.loads(await process.stdout.readline()))
            except TimeoutError:
                continue
        assert await process.wait() == 0
    return lines


async def test_tail_prints_decoded_messages_and_ends_at_its_count(world: World) -> None:
    first, second = await tail(world)
    assert first["type"] == "flotilla.v1.PerformanceSnapshotBatch"
    assert "traceparent" in first["headers"]  # type: ignore[operator]  # it is a dict
    assert first["message"]["snapshots"][0]["cpu_usage_percent"] == 12.5  # type: ignore[index]
    assert second["subject"] == first["subject"]


async def test_tail_raw_prints_the_bytes(world: World) -> None:
    first, _ = await tail(world, "--raw")
    payload = base64.b64decode(str(first["payload"]))
    assert PerformanceSnapshotBatch.FromString(payload).snapshots[0].cpu_usage_percent == 12.5


async def test_tail_ends_quietly_when_its_reader_does(world: World) -> None:
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "tail", "telemetry.>"),
        env={"PATH": os.environ["PATH"], "FLOTILLA_STATE": "/nonexistent", **world.environment()},
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(write)
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_tail_says_that_it_waits(world: World) -> None:
    process = await start(world.environment(), "tail", "nothing.is.here.>")
    assert process.stderr is not None
    async with asyncio.timeout(30):
        line = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        out, err = await process.communicate()

    assert line == b"Waiting for messages on flotilla.nothing.is.here.>. Ctrl-C ends.\n"
    assert (process.returncode, out, err) == (130, b"", b"")


async def test_a_refused_password_of_nats_or_the_database_is_named(world: World) -> None:
    good = world.environment()
    bad = good | {"FLOTILLA_NATS_OPERATOR_PASSWORD": secrets.token_urlsafe(32)}
    url = urlsplit(world.database_url)
    database = good | {"DATABASE_URL": url._replace(path="/absent").geturl()}

    for line in ("status", "tail x.>"):
        code, _, err = await run(bad, *line.split())
        assert (code, len(err.splitlines())) == (1, 1), err
        assert "refuses the password of the user operator" in err
    for line in ("migrate", "user add alice"):
        code, _, err = await run(database, *line.split(), words=f"{PASSWORD}\n")
        assert (code, len(err.splitlines())) == (1, 1), err
        assert 'refuses the connection: database "absent" does not exist' in err


async def test_status_succeeds_when_all_answer_and_fails_when_one_does_not(
    own_world: World,
) -> None:
    await own_world.start_all()
    own_world.start("rollup")
    await own_world.ready("rollup")
    code, out, err = await run(own_world.environment(), "status", "--json")
    assert code == 0, out + err
    assert {service["service"] for service in json.loads(out)["services"]} == {
        "edge",
        "writer",
        "rollup",
        "gateway",
        "shellproxy",
        "alerting",
    }
    await own_world.stop("writer")
    code, out, _ = await run(own_world.environment(), "status")
    assert code == 1
    assert "✗ writer" in out


async def test_a_user_is_added_once_and_only_with_a_good_name_and_password(world: World) -> None:
    environment = world.environment()
    name = f"cli-{secrets.token_hex(4)}"

    async def add(*arguments: str, words: str = PASSWORD) -> tuple[int | None, str]:
        code, out, err = await run(environment, "user", "add", *arguments, words=f"{words}\n")
        assert words not in out + err
        return code, out + err

    assert (await add(name, "--role", "admin"))[0] == 0
    assert await add(name, "--role", "admin") == (1, f"user {name} exists already\n")
    assert (await add(name, "--role", "admin", "--if-missing"))[0] == 0
    assert "has 5 characters; it needs 12 or more" in (await add("other", words="short"))[1]
    assert "has 1 character; it needs 12 or more" in (await add("other", words="§"))[1]
    code, told = await add("Not A Name")
    assert (code, told.startswith("flotilla: The user name must have")) == (2, True)
    async with world.anonymous() as client:
        answer = await client.post("/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.json()["user"]["role"] == "admin"


async def test_bad_settings_name_the_variable_and_not_its_value(world: World) -> None:
    environment = world.environment() | {"FLOTILLA_TOKEN_SECRET": "hunter2-hunter2"}
    del environment["FLOTILLA_CA_CERTIFICATE"]
    code, out, err = await run(environment, "run", "gateway")

    assert code == 2
    assert "FLOTILLA_TOKEN_SECRET is" in err
    assert "FLOTILLA_CA_CERTIFICATE is not set" in err
    assert "hunter2" not in out + err


async def test_secrets_are_nowhere_in_the_logs(own_world: World) -> None:
    environment = own_world.environment() | {"FLOTILLA_LOG_LEVEL": "debug"}
    process = await start(environment, "run", "all")
    try:
        user = await until(lambda: _logged_in(own_world, process), seconds=30)
        assert user is not None
        made = (await user.post("/vps", json={"name": "canary"})).json()
        token = made["enrolment"]["token"]
        agent = own_world.agent()
        await agent.enrol(token)
        thief = own_world.agent()
        thief.vps_id = made["id"]
        await thief.challenged()
        stolen = thief.handshake()
        await thief.send(MessageToServer(handshake=stolen))
        await thief.ended()
        await agent.connect()
        sequences = [
            await agent.report() for _ in range(3)
        ]  # as many as one acknowledgement covers
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequences[-1])

        async def written() -> bool:
            return bool(await own_world.rows(agent.vps_id))

        await until(written)
        ticket = (await user.post("/ws-tickets", json={"resource": "fleet/realtime"})).json()
        wrong = "a wrong password that is a canary"
        await user.post("/auth/login", json={"username": "x", "password": wrong})
        await user.get(f"/nothing?ticket={ticket['ticket']}")
        bearer = user.headers["Authorization"].removeprefix("Bearer ")
        cookie = user.cookies["flotilla_session"]
        await own_world.close()
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            out, err = await process.communicate()

    assert process.returncode == 0
    text = (out + err).decode()
    assert "agent_connected" in text
    assert "agent_refused" in text
    assert "wrong name or password" in text
    for secret in (
        PASSWORD,
        wrong,
        token,
        ticket["ticket"],
        bearer,
        cookie,
        stolen.signature.hex(),
        own_world.token_secret,
        own_world.command_key,
        *own_world.nats.passwords.values(),
        own_world.database_url,
    ):
        assert secret not in text


async def _logged_in(world: World, process: asyncio.subprocess.Process) -> httpx.AsyncClient | None:
    assert process.returncode is None
    if not world.listening():
        return None
    return await world.user()
