"""Changes and privileged actions are done only if their audit entry can be stored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import pytest_asyncio

from services.gateway.api.problem_types import ProblemType
from services.kit.bus import subjects
from tests.fixtures.metrics import metric
from tests.fixtures.problems import assert_problem
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.terminals import refused, shell_url
from tests.fixtures.waiting import until
from tests.fixtures.world import PASSWORD, World

CONTAINER = "a" * 12
BLOCKED = "flotilla_audit_blocked_total"


class House:
    """A world whose JetStream stores no events, with an agent that is online."""

    def __init__(self, world: World, user: httpx.AsyncClient, agent: ScriptedAgent) -> None:
        self.world = world
        self.user = user
        self.agent = agent

    @property
    def vps(self) -> str:
        return f"/vps/{self.agent.vps_id}"


@pytest_asyncio.fixture(loop_scope="session")
async def house(own_world: World) -> AsyncIterator[House]:
    await own_world.start_all()
    user = await own_world.user("member")
    agent = await own_world.enrolled(user)
    await agent.connect()

    async def online() -> bool:
        return bool((await user.get(f"/vps/{agent.vps_id}")).json()["status"] == "online")

    await until(online)
    async with own_world.nats.client("provision") as client:
        await client.jetstream().delete_stream(subjects.Stream.EVENTS)
    yield House(own_world, user, agent)
    await own_world.nats.provision()


Send = Callable[[House], Awaitable[httpx.Response]]
ACTIONS: dict[str, Send] = {
    "docker": lambda house: house.user.post(f"{house.vps}/docker/containers/{CONTAINER}/restart"),
    "image": lambda house: house.user.post(
        f"{house.vps}/docker/images/pull", json={"reference": "busybox"}
    ),
    "files": lambda house: house.user.delete(f"{house.vps}/files", params={"path": "/srv/x"}),
    "run": lambda house: house.user.post(
        "/runs", json={"script": "true", "server_ids": [house.agent.vps_id]}
    ),
    "rename": lambda house: house.user.patch(house.vps, json={"name": "other"}),
    "traffic": lambda house: house.user.put(
        f"{house.vps}/traffic/settings",
        json={"reset_day": 7, "time_zone": "UTC", "counted": "both", "allowance": None},
    ),
    "enrolment": lambda house: house.user.post(f"{house.vps}/enrolment"),
    "password": lambda house: house.user.put(
        "/auth/password", json={"current": PASSWORD, "new": PASSWORD[::-1]}
    ),
    "factor": lambda house: house.user.post("/auth/factors/totp", json={"password": PASSWORD}),
    "token": lambda house: house.user.post(
        "/tokens", json={"name": "ci", "scopes": ["fleet:read"]}
    ),
    "invitation": lambda house: house.user.post(
        "/invitations", json={"email": "a@example.com", "role": "viewer"}
    ),
}
UNCHANGED = (
    "SELECT (SELECT count(*) FROM runs), (SELECT array_agg(name) FROM vps),"
    " (SELECT count(*) FROM enrolment_tokens), (SELECT array_agg(password_hash) FROM users),"
    " (SELECT count(*) FROM totp_factors), (SELECT count(*) FROM api_tokens),"
    " (SELECT count(*) FROM invitations)"
)


async def test_nothing_is_done_without_an_entry(house: House) -> None:
    before = await house.world.sql(UNCHANGED)
    blocked = metric(BLOCKED)
    for name, send in ACTIONS.items():
        answer = await send(house)
        document = assert_problem(answer, 503, ProblemType.AUDIT_UNAVAILABLE)
        assert "nothing was done" in document["detail"], name
    assert metric(BLOCKED) - blocked == len(ACTIONS)
    assert await house.world.sql(UNCHANGED) == before
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await house.agent.commanded()


async def test_no_terminal_is_opened_without_an_entry(house: House) -> None:
    # A server whose policy is not known yet, so that the gateway would ask the agent.
    await house.world.sql("UPDATE vps SET metadata = metadata - 'powers'")
    url = await shell_url(house.world.ws, house.user, house.agent.vps_id)
    status, document = await refused(url)
    assert (status, document["type"]) == (503, ProblemType.AUDIT_UNAVAILABLE)
    assert await house.world.sql("SELECT 1 FROM shell_sessions") == []


async def test_reads_are_answered_and_counted_without_an_entry(house: House) -> None:
    lost = metric("flotilla_audit_unstored_total", reason="bus")
    listing = asyncio.create_task(house.user.get(f"{house.vps}/files", params={"path": "/srv"}))
    _, command = await house.agent.commanded()
    await house.agent.answer(command.id, exit_code=0)
    assert (await listing).status_code == 200
    await until(lambda: metric("flotilla_audit_unstored_total", reason="bus") > lost)


async def test_nothing_is_done_while_the_bus_is_away(own_world: World) -> None:
    own_world.start("gateway")
    await own_world.ready("gateway")
    user = await own_world.user("member")
    vps_id = (await user.post("/vps", json={"name": "box"})).json()["id"]
    own_world.nats.kill()

    async def noticed() -> bool:
        return (await user.patch(f"/vps/{vps_id}", json={"name": "other"})).status_code == 503

    await until(noticed)
    renamed = await user.patch(f"/vps/{vps_id}", json={"name": "other"})
    assert_problem(renamed, 503, ProblemType.AUDIT_UNAVAILABLE)
    started = await user.post("/runs", json={"script": "true", "server_ids": [vps_id]})
    assert started.status_code == 503
    assert (await user.get(f"/vps/{vps_id}")).json()["name"] == "box"
    assert await own_world.sql("SELECT 1 FROM runs") == []
    await own_world.nats.start()

    async def renamed_again() -> bool:
        answer = await user.patch(f"/vps/{vps_id}", json={"name": "other"})
        return answer.status_code == 200

    await until(renamed_again)

    async def one_entry() -> bool:
        found = await own_world.sql(
            "SELECT 1 FROM audit_entries WHERE action = 'vps.update' AND allowed AND reason = ''"
        )
        return len(found) == 1

    await until(one_entry, otherwise="the change that was done has no entry, or several")
