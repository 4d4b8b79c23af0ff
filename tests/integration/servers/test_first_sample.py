"""From the install line of a new server to its first sample at a viewer."""

import json
from urllib.parse import urlsplit

import websockets
from nats.aio.msg import Msg
from pydantic import SecretStr

from flotilla.v1.agent_pb2 import BatchAck, Powers
from flotilla.v1.metrics_pb2 import DiskUsage, PerformanceSnapshotBatch
from services.kit.agents.commands import Signer
from tests.fixtures.scripted_agent import snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_a_new_server_is_added_enrolled_seen_stored_and_shown(world: World) -> None:
    user = await world.user("member")
    made = (await user.post("/vps", json={"name": "first"})).json()
    assert made["status"] == "pending"
    assert (
        f"FLOTILLA_ENROLMENT_TOKEN={made['enrolment']['token']}"
        in (made["enrolment"]["install_command"])
    )

    agent = world.agent()
    enrolled = await agent.enrol(made["enrolment"]["token"])
    assert (enrolled.vps_id, enrolled.name) == (made["id"], "first")

    key = Signer.of(SecretStr(world.command_key)).public_key
    agent.powers = Powers(
        shell=True,
        files=Powers.FILE_ACCESS_READ,
        file_roots=["/srv"],
        user="flotilla-agent",
        command_keys=[key],
    )
    acknowledged = (await agent.connect()).handshake_ack
    assert acknowledged.agent_id == made["id"]

    resource = f"vps/{made['id']}/metrics/realtime"
    ticket = (await user.post("/ws-tickets", json={"resource": resource})).json()["ticket"]
    async with websockets.connect(f"{world.ws}/{resource}?ticket={ticket}") as socket:
        disk = DiskUsage(mount_point="/", device="/dev/vda1", filesystem="ext4")
        disk.total_bytes, disk.used_bytes = 100, 40
        point = snapshot(disks=[disk])
        sequence = await agent.report(point)
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)
        await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
        shown = json.loads(await socket.recv())
        while shown["event"] != "sample":
            shown = json.loads(await socket.recv())

    assert shown["vps_id"] == made["id"]
    assert (shown["cpu_usage"], shown["mem_usage"], shown["disk_usage"]) == (12.5, 25.0, 40.0)
    assert shown["load_1"] is None
    assert shown["detail"]["disks"][0]["mount_point"] == "/"

    (row,) = await world.rows(made["id"])
    assert (row["cpu_usage"], row["mem_used"], row["load_1"]) == (12.5, 250, None)
    assert row["clock_corrected"] is False

    history = (await user.get(f"/vps/{made['id']}/metrics/historical")).json()
    assert history["cpu_usage"] == [12.5]
    assert len(history["time"]) == 1

    async def facts_are_there() -> bool:
        vps = (await user.get(f"/vps/{made['id']}")).json()
        return vps["status"] == "online" and (vps["facts"] or {}).get("hostname") == "scripted"

    await until(facts_are_there)
    vps = (await user.get(f"/vps/{made['id']}")).json()
    assert vps["ip_address"] == "127.0.0.1"
    assert vps["latest"]["time"] == shown["time"]
    assert vps["powers"] == {
        "shell": True,
        "commands": False,
        "files": "read",
        "docker": "off",
        "file_roots": ["/srv"],
        "user": "flotilla-agent",
        "obeys": True,
    }
    await agent.leave()


async def test_a_plain_nats_client_sees_the_type_the_trace_and_the_id(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    async with world.nats.client("operator") as operator:
        subscription = await operator.subscribe("flotilla.telemetry.>")
        await operator.flush()
        sequence = await agent.report()
        message: Msg = await subscription.next_msg(timeout=10)
        while agent.vps_id not in message.subject:
            message = await subscription.next_msg(timeout=10)

    assert message.subject == f"flotilla.telemetry.{agent.vps_id}.performance"
    assert message.headers is not None
    assert message.headers["Flotilla-Type"] == "flotilla.v1.PerformanceSnapshotBatch"
    assert message.headers["Nats-Msg-Id"] == f"{agent.vps_id}.{agent.epoch}.{sequence}"
    version, trace_id, span_id, flags = message.headers["traceparent"].split("-")
    assert (version, len(trace_id), len(span_id), len(flags)) == ("00", 32, 16, 2)
    assert PerformanceSnapshotBatch.FromString(message.data).header.sequence == sequence


async def test_the_bootstrap_and_the_install_script_are_for_everybody(world: World) -> None:
    async with world.anonymous() as nobody:
        bootstrap = (await nobody.get("/agent/bootstrap")).json()
        script = await nobody.get(f"{world.http}/install.sh")

    assert bootstrap["agent_address"] == f"127.0.0.1:{world.grpc_port}"
    assert bootstrap["ca_certificate"] == (world.certificates / "ca.pem").read_text()
    assert urlsplit(world.http).port == world.http_port
    assert script.text.startswith("#!/bin/sh")
