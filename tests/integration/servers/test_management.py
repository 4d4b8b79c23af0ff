"""Servers over HTTP: settings, deletion, search."""

from typing import Any

from flotilla.v1.agent_pb2 import BatchAck
from tests.fixtures.world import World


async def test_new_settings_are_pushed_to_the_connected_agent(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    settings = {"report_interval_seconds": 5, "log_level": "debug", "disabled_collectors": ["cpu"]}
    changed = await user.patch(f"/vps/{agent.vps_id}", json={"agent_config": settings})

    assert changed.json()["agent_config"]["revision"] == 1
    pushed = (await agent.receive("config")).config
    assert (pushed.revision, pushed.report_interval_ms) == (1, 5000)
    assert list(pushed.disabled_collectors.collectors) == [1]
    assert not pushed.HasField("docker_enabled")
    await agent.leave()
    assert (await agent.connect()).handshake_ack.config == pushed


async def test_deleting_a_server_removes_its_rows_and_its_agents_access(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
    assert (await user.delete(f"/vps/{agent.vps_id}")).status_code == 204

    assert await world.rows(agent.vps_id) == []
    assert (await user.get(f"/vps/{agent.vps_id}")).status_code == 404
    assert (await agent.ended())[0].name == "PERMISSION_DENIED"


async def test_the_list_is_searched_and_paged(world: World) -> None:
    user = await world.user("member")
    for name in ("web-1", "Web-2", "db_1", "100%"):
        await user.post("/vps", json={"name": name})

    async def names(**params: Any) -> tuple[list[str], int]:
        page = (await user.get("/vps", params=params)).json()
        return [vps["name"] for vps in page["items"]], page["total"]

    assert set((await names(search="WEB"))[0]) == {"web-1", "Web-2"}
    assert await names(search="%") == (["100%"], 1)
    assert await names(search="_") == (["db_1"], 1)
    first, total = await names(limit=3)
    rest, _ = await names(limit=3, offset=3)
    assert total == 4
    assert len(first) == 3
    assert sorted(first + rest) == sorted(["web-1", "Web-2", "db_1", "100%"])
    assert await names(offset=4) == ([], 4)
