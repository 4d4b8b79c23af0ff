"""The demo fleet of `make demo`, in an installation that has other servers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local import machine
from services.kit.metrics.tiers import TIERS
from tests.demo import live, run
from tests.demo.profiles import profiles
from tests.fixtures.waiting import until
from tests.fixtures.world import World

COUNT = 12  # servers; one is offline, one is silent, and one has not enrolled
DAYS = 2


async def target(world: World) -> run.Target:
    return run.Target(
        await world.user(),
        world.database_url,
        f"127.0.0.1:{world.grpc_port}",
        (world.certificates / "ca.pem").read_bytes(),
        bytes.fromhex(machine.public_key(world.command_key)),
    )


async def test_the_demo_fills_the_console_and_leaves_nothing_behind(own_world: World) -> None:
    await own_world.start_all()
    owner = await own_world.user("member")
    other = await own_world.enrolled(owner, "demo-like")
    await owner.patch(f"/vps/{other.vps_id}", json={"tags": ["demo"]})
    await other.connect()
    await other.report()
    await until(lambda: own_world.rows(other.vps_id), otherwise="no sample was stored")
    demo = await target(own_world)

    servers = await run.fill(demo, count=COUNT, days=DAYS)
    with pytest.raises(run.DemoError, match="ARGS=--remove"):
        await run.fill(demo, count=COUNT, days=DAYS)
    reporting = asyncio.create_task(live.run(servers))

    listed = (await demo.client.get("/vps", params={"search": "demo-"})).json()["items"]
    found = {item["name"]: item for item in listed if item["id"] != other.vps_id}
    assert found.keys() == {profile.name for profile in profiles(COUNT)}
    assert all("demo" in item["tags"] for item in found.values())

    async def as_described() -> bool:
        names = ("demo-fra-web-1", "demo-sgp-web-1", "demo-syd-proxy-1")
        answers = [await demo.client.get(f"/vps/{found[name]['id']}") for name in names]
        return [answer.json()["status"] for answer in answers] == ["online", "offline", "pending"]

    await until(as_described, otherwise="the servers are not online, offline and pending")
    containers = await demo.client.get(f"/vps/{found['demo-fra-app-1']['id']}/docker/containers")
    assert (len(containers.json()["items"]), containers.json()["live"]) == (4, True)
    assert all(item["powers"]["obeys"] for item in found.values() if item["powers"])
    reporting.cancel()
    await asyncio.wait({reporting})

    since = datetime.now(UTC) - timedelta(days=DAYS) + timedelta(hours=1)
    history = await demo.client.get(
        f"/vps/{found['demo-fra-web-1']['id']}/metrics/historical",
        params={"start": since.isoformat(), "end": datetime.now(UTC).isoformat()},
    )
    assert len(history.json()["cpu_usage"]) > 500
    assert await run.remove(demo) == COUNT
    assert (await demo.client.get("/vps")).json()["items"] == []
    left = (await owner.get("/vps")).json()["items"]
    assert [item["id"] for item in left] == [other.vps_id]
    assert len(await own_world.rows(other.vps_id)) == 1
    for table in ("traffic_facts", "docker_metrics", *(tier.table for tier in TIERS)):
        assert await own_world.sql(f"SELECT count(*) FROM {table}") == [(0,)], table
