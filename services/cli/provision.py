"""`flotilla provision`: creates the streams, durables and buckets; no other NATS user may."""

import argparse
import asyncio

from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from services.cli.connection import connect
from services.cli.settings import ProvisionSettings
from services.kit.bus import subjects
from services.kit.bus.subjects import Bucket, Stream
from services.kit.services import DURABLES
from services.kit.settings import load

DAY = 86_400.0  # seconds
GIB = 1024**3
DEDUPLICATION = 120.0  # seconds
ACK_WAIT = 30.0  # seconds, more than the consumer's own timeout
# Enough for about three days without the database. After that, NATS publishes a notice, and
# `flotilla dlq` can replay the message.
MAX_DELIVER = 10_000
REPLICAS = 1

STREAMS = (
    api.StreamConfig(
        name=Stream.TELEMETRY,
        subjects=[subjects.TELEMETRY_ALL],
        description="Batches of agents, until every durable has acknowledged them",
        # A message is deleted when all durables have acknowledged it. With a limit by age alone,
        # ten thousand servers would fill the stream in two hours.
        retention=api.RetentionPolicy.INTEREST,
        max_age=7 * DAY,
        max_bytes=8 * GIB,
        max_msg_size=1024 * 1024,
    ),
    api.StreamConfig(
        name=Stream.EVENTS,
        subjects=[subjects.EVENTS_ALL],
        description="Events of servers, and audit entries",
        max_age=14 * DAY,
        max_bytes=4 * GIB,
    ),
    api.StreamConfig(
        name=Stream.JOBS,
        subjects=[subjects.JOBS_ALL],
        description="Jobs, each processed once",
        retention=api.RetentionPolicy.WORK_QUEUE,
        max_age=7 * DAY,
        max_bytes=GIB,
    ),
    api.StreamConfig(
        name=Stream.DEADLETTERS,
        subjects=[subjects.DEADLETTERS_ALL, subjects.MAX_DELIVERIES_ALL],
        description="Messages that could not be processed",
        max_age=30 * DAY,
        max_bytes=GIB,
    ),
)

BUCKETS = (
    api.KeyValueConfig(bucket=Bucket.AGENTS, description="Agents' public keys and settings"),
    api.KeyValueConfig(bucket=Bucket.PRESENCE, description="Which edge holds which agent"),
    api.KeyValueConfig(bucket=Bucket.EDGES, description="Edges that are alive", ttl=60.0),
)


def run(_arguments: argparse.Namespace) -> int:
    print("\n".join(asyncio.run(_provision())))
    return 0


async def _provision() -> list[str]:
    settings = load(ProvisionSettings)
    user, password = subjects.User.PROVISION, settings.nats_provision_password
    async with connect(settings, user, password, name="provision") as connection:
        return await provision(connection.jetstream)


async def provision(jetstream: JetStreamContext) -> list[str]:
    """Create what is missing and update the rest; return one line for each."""
    lines = []
    for stream in STREAMS:
        config = stream.evolve(
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            duplicate_window=DEDUPLICATION,
            num_replicas=REPLICAS,
        )
        try:
            await jetstream.stream_info(str(config.name))
        except NotFoundError:
            await jetstream.add_stream(config)
            lines.append(f"stream {config.name} created")
        else:
            await jetstream.update_stream(config)
            lines.append(f"stream {config.name} up to date")
    for durable in DURABLES:
        consumer = api.ConsumerConfig(
            durable_name=durable.name,
            filter_subject=durable.filter_subject,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=MAX_DELIVER,
            max_ack_pending=durable.max_ack_pending,
        )
        # Creating a durable that exists with the same settings changes nothing.
        await jetstream.add_consumer(durable.stream, consumer)
        lines.append(f"durable {durable.name} up to date")
    for bucket in BUCKETS:
        try:
            await jetstream.key_value(bucket.bucket)
            lines.append(f"bucket {bucket.bucket} up to date")
        except NotFoundError:
            await jetstream.create_key_value(bucket)
            lines.append(f"bucket {bucket.bucket} created")
    return lines
