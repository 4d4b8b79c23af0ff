"""A service's NATS user can do what the service does, and nothing else."""

import asyncio
import json

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from services.kit.bus.subjects import Bucket, Durable, Stream, User
from tests.fixtures.world import World

VPS = "6d9f0bd0-0000-4000-8000-000000000000"

PUBLISH_REFUSED = [
    ("edge", "flotilla.edge.a0b1c2d3.durable"),
    ("edge", f"flotilla.agent.{VPS}.command"),
    ("edge", f"flotilla.agent.{VPS}.pty"),
    ("edge", "flotilla.shell.open"),
    ("edge", "flotilla.shell.abc.control"),
    ("edge", "flotilla.shell.abc.output"),
    ("edge", "flotilla.task.abc.output"),
    ("edge", "flotilla.task.abc.cancel"),
    ("shellproxy", "flotilla.task.abc.cancel"),
    ("operator", "flotilla.task.abc.cancel"),
    ("edge", "_INBOX_gateway.abc"),
    ("edge", "_INBOX_shellproxy.abc"),
    ("edge", "flotilla.dlq.TELEMETRY.x"),
    ("edge", "flotilla.job.notification"),
    ("edge", f"$KV.agents.{VPS}"),
    ("writer", f"flotilla.telemetry.{VPS}.performance"),
    ("writer", f"flotilla.event.vps.{VPS}.connected"),
    ("writer", f"$KV.agents.{VPS}"),
    ("writer", f"$KV.presence.{VPS}"),
    ("writer", f"flotilla.agent.{VPS}.command"),
    ("writer", f"flotilla.agent.{VPS}.durable"),
    ("gateway", f"flotilla.telemetry.{VPS}.performance"),
    ("writer", f"flotilla.agent.{VPS}.pty"),
    ("writer", "flotilla.event.audit.file"),
    ("gateway", f"flotilla.agent.{VPS}.durable"),
    ("gateway", "flotilla.pty.abc.output"),
    ("gateway", "flotilla.shell.abc.output"),
    ("shellproxy", f"flotilla.telemetry.{VPS}.performance"),
    ("shellproxy", f"flotilla.event.vps.{VPS}.connected"),
    ("shellproxy", f"flotilla.agent.{VPS}.taken"),
    ("shellproxy", f"$KV.agents.{VPS}"),
    ("shellproxy", "flotilla.pty.abc.output"),
    ("shellproxy", "flotilla.shell.open"),
    ("shellproxy", "flotilla.shell.abc.control"),
    ("shellproxy", "flotilla.enrolment.redeem"),
    ("shellproxy", "_INBOX_gateway.abc"),
    ("alerting", f"flotilla.telemetry.{VPS}.performance"),
    ("alerting", f"flotilla.event.vps.{VPS}.connected"),
    ("alerting", f"flotilla.agent.{VPS}.command"),
    ("alerting", f"$KV.presence.{VPS}"),
    ("alerting", f"$KV.agents.{VPS}"),
    ("alerting", "$JS.ACK.TELEMETRY.ingest-write-telemetry.1.1.1.1.1"),
    ("rollup", f"flotilla.agent.{VPS}.command"),
    ("rollup", f"flotilla.agent.{VPS}.pty"),
    ("repair", f"flotilla.agent.{VPS}.command"),
    ("repair", f"flotilla.agent.{VPS}.pty"),
    ("repair", "flotilla.shell.open"),
    ("gateway", f"$KV.presence.{VPS}"),
    ("gateway", "flotilla.job.task.shell"),
    ("provision", f"flotilla.telemetry.{VPS}.performance"),
    ("operator", f"flotilla.telemetry.{VPS}.performance"),
    ("operator", f"flotilla.event.vps.{VPS}.connected"),
    ("operator", f"flotilla.agent.{VPS}.command"),
    ("operator", f"flotilla.agent.{VPS}.pty"),
    ("operator", "flotilla.shell.open"),
    ("operator", "flotilla.shell.abc.control"),
    ("operator", "flotilla.pty.abc.output"),
    ("operator", f"$KV.agents.{VPS}"),
    ("operator", "flotilla.enrolment.redeem"),
    *(
        (user, f"$JS.API.{what}")
        for user in ("edge", "writer", "gateway", "shellproxy", "alerting", "operator")
        for what in (
            "STREAM.CREATE.MINE",
            "STREAM.DELETE.TELEMETRY",
            "STREAM.PURGE.TELEMETRY",
            "STREAM.UPDATE.TELEMETRY",
            "CONSUMER.DELETE.TELEMETRY.ingest-write-telemetry",
            "CONSUMER.CREATE.TELEMETRY.mine",
            "STREAM.MSG.DELETE.TELEMETRY",
        )
    ),
]

SUBSCRIBE_REFUSED = [
    ("edge", "flotilla.telemetry.>"),
    ("edge", "flotilla.enrolment.redeem"),
    ("edge", "_INBOX_gateway.>"),
    ("writer", "flotilla.telemetry.>"),
    ("writer", "flotilla.agent.>"),
    ("edge", "flotilla.pty.>"),
    ("edge", "flotilla.shell.>"),
    ("edge", "flotilla.task.>"),
    ("writer", "flotilla.pty.>"),
    ("gateway", "flotilla.agent.>"),
    ("gateway", "flotilla.shell.open"),
    ("gateway", "flotilla.shell.*.control"),
    ("shellproxy", "flotilla.agent.>"),
    ("shellproxy", "flotilla.telemetry.>"),
    ("shellproxy", "flotilla.event.>"),
    ("shellproxy", "flotilla.shell.*.output"),
    ("shellproxy", "_INBOX_gateway.>"),
    ("gateway", "_INBOX_edge.>"),
    ("alerting", "flotilla.telemetry.>"),
    ("alerting", "flotilla.agent.>"),
    ("alerting", "_INBOX_gateway.>"),
    ("provision", "flotilla.>"),
    ("operator", "$KV.>"),
    ("operator", "_INBOX_gateway.>"),
    ("operator", ">"),
    ("operator", "flotilla.agent.*.command"),
    ("operator", f"flotilla.agent.{VPS}.command"),
    ("operator", "flotilla.agent.*.pty"),
    ("operator", f"flotilla.agent.{VPS}.pty"),
]


class Refusals:
    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def hear(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            await self.said.put(str(error))


@pytest.mark.parametrize(("user", "subject"), PUBLISH_REFUSED)
async def test_a_user_may_not_publish_outside_its_subjects(
    world: World, user: str, subject: str
) -> None:
    refusals = Refusals()
    async with world.nats.client(user, error_cb=refusals.hear) as client:
        await client.publish(subject, b"{}")
        async with asyncio.timeout(5):
            assert subject.lower() in (await refusals.said.get()).lower()


@pytest.mark.parametrize(("user", "subject"), SUBSCRIBE_REFUSED)
async def test_a_user_may_not_listen_outside_its_subjects(
    world: World, user: str, subject: str
) -> None:
    refusals = Refusals()
    async with world.nats.client(user, error_cb=refusals.hear) as client:
        await client.subscribe(subject)
        async with asyncio.timeout(5):
            assert subject.lower() in (await refusals.said.get()).lower()


@pytest.mark.parametrize(
    "subject", ["flotilla.>", "flotilla.agent.>", f"flotilla.agent.{VPS}.*", "flotilla.*.*.command"]
)
async def test_who_watches_the_bus_is_not_taken_for_an_agent(world: World, subject: str) -> None:
    asked = [f"flotilla.agent.{VPS}.command", f"flotilla.agent.{VPS}.pty"]
    async with world.nats.client("operator") as operator, world.nats.client("gateway") as gateway:
        watch = await operator.subscribe(subject)
        await operator.flush()
        for question in asked:
            with pytest.raises(NoRespondersError):
                await gateway.request(question, b"", timeout=5)
        await operator.flush()
        assert watch.pending_msgs == 0


@pytest.mark.parametrize(
    "who", [{}, {"user": "edge", "pass": "guess"}, {"user": "nobody", "pass": "x" * 40}]
)
async def test_strangers_are_refused(world: World, who: dict[str, str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.nats.port)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"INFO ")
        writer.write(b"CONNECT " + json.dumps({"verbose": False, **who}).encode() + b"\r\nPING\r\n")
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_an_edge_answers_who_asked_in_many_parts(world: World) -> None:
    async with world.nats.client("edge") as edge, world.nats.client("gateway") as gateway:

        async def answer(message: Msg) -> None:
            for number in range(500):
                await edge.publish(message.reply, b"%d" % number)

        await edge.subscribe(f"flotilla.agent.{VPS}.command", cb=answer)
        await edge.flush()
        inbox = gateway.new_inbox()
        answers = await gateway.subscribe(inbox)
        await gateway.publish(f"flotilla.agent.{VPS}.command", b"", reply=inbox)
        parts = [int((await answers.next_msg(timeout=5)).data) for _ in range(500)]
    assert parts == list(range(500))


async def test_every_user_of_the_code_is_a_user_of_the_server(world: World) -> None:
    for user in User:
        async with world.nats.client(user.value) as client:
            assert client.is_connected


async def test_streams_refuse_what_is_new_when_full_and_wait_for_acknowledgement(
    world: World,
) -> None:
    async with world.nats.client("provision") as client:
        jetstream = client.jetstream()
        for stream in Stream:
            config = (await jetstream.stream_info(stream)).config
            assert config.discard == "new", stream
            assert config.storage == "file", stream
            assert (config.max_bytes or 0) > 0, stream
        for stream, durable in (
            (Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY),
            (Stream.TELEMETRY, Durable.ALERTING_EVALUATE_TELEMETRY),
            (Stream.EVENTS, Durable.GATEWAY_RECORD_EVENTS),
            (Stream.EVENTS, Durable.GATEWAY_RECORD_AUDIT),
        ):
            found = (await jetstream.consumer_info(stream, durable)).config
            assert found.ack_policy == "explicit"
            assert (found.max_ack_pending or 0) > 0
        for bucket in Bucket:
            await jetstream.key_value(bucket)


async def test_provisioning_again_changes_nothing(world: World) -> None:
    async def streams(client: Client) -> object:
        answer = await client.request("$JS.API.STREAM.LIST", b"{}", timeout=5)
        return [
            (stream["config"], stream["created"]) for stream in json.loads(answer.data)["streams"]
        ]

    async with world.nats.client("provision") as client:
        before = await streams(client)
        assert all(line.endswith("up to date") for line in await world.nats.provision())
        assert await streams(client) == before
