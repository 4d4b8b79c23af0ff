"""Streams, durables and buckets: made here, once, by the only user who may."""

import structlog
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from services.kit import subjects
from services.kit.subjects import Bucket, Durable, Stream

log = structlog.get_logger(__name__)

DAY = 86_400.0  # seconds
GIB = 1024**3
DEDUPLICATION = 120.0  # seconds
ACK_WAIT = 30.0  # seconds, over the consumer's own time-out
# Some three days of a database that is away; then an advisory tells, and `flotilla dlq`
# sends the message again.
MAX_DELIVER = 10_000
REPLICAS = 1

STREAMS = (
    api.StreamConfig(
        name=Stream.TELEMETRY,
        subjects=[subjects.TELEMETRY_ALL],
        description="What agents measured, until every durable has it",
        # A message goes when all durables have acknowledged it. Kept by age alone, a fleet of
        # ten thousand fills the stream in two hours and is then refused.
        retention=api.RetentionPolicy.INTEREST,
        max_age=7 * DAY,
        max_bytes=8 * GIB,
        max_msg_size=1024 * 1024,
    ),
    api.StreamConfig(
        name=Stream.EVENTS,
        subjects=[subjects.EVENTS_ALL],
        description="What happened",
        max_age=14 * DAY,
        max_bytes=4 * GIB,
    ),
    api.StreamConfig(
        name=Stream.JOBS,
        subjects=[subjects.JOBS_ALL],
        description="What is to be done, once",
        retention=api.RetentionPolicy.WORK_QUEUE,
        max_age=7 * DAY,
        max_bytes=GIB,
    ),
    api.StreamConfig(
        name=Stream.DEADLETTERS,
        subjects=[subjects.DEADLETTERS_ALL, subjects.MAX_DELIVERIES_ALL],
        description="What could not be handled",
        max_age=30 * DAY,
        max_bytes=GIB,
    ),
)

DURABLES = (
    (
        Stream.TELEMETRY,
        api.ConsumerConfig(
            durable_name=Durable.INGEST_WRITE_TELEMETRY,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=MAX_DELIVER,
            max_ack_pending=5_000,
        ),
    ),
    (
        Stream.EVENTS,
        api.ConsumerConfig(
            durable_name=Durable.GATEWAY_RECORD_EVENTS,
            filter_subject=subjects.VPS_EVENTS_ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=MAX_DELIVER,
            max_ack_pending=1_000,
        ),
    ),
    (
        Stream.EVENTS,
        api.ConsumerConfig(
            durable_name=Durable.GATEWAY_RECORD_AUDIT,
            filter_subject=subjects.AUDIT_ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=MAX_DELIVER,
            max_ack_pending=1_000,
        ),
    ),
)

BUCKETS = (
    api.KeyValueConfig(bucket=Bucket.AGENTS, description="Agents' public keys and settings"),
    api.KeyValueConfig(bucket=Bucket.PRESENCE, description="Which edge holds which agent"),
    api.KeyValueConfig(bucket=Bucket.EDGES, description="Edges that are alive", ttl=60.0),
)


async def provision(jetstream: JetStreamContext) -> list[str]:
    """Make what is missing and bring the rest up to date; a line for each."""
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
            lines.append(f"stream {config.name} made")
        else:
            await jetstream.update_stream(config)
            lines.append(f"stream {config.name} up to date")
    for stream_name, durable in DURABLES:
        # Creating one that exists with the same settings changes nothing.
        await jetstream.add_consumer(stream_name, durable)
        lines.append(f"durable {durable.durable_name} up to date")
    for bucket in BUCKETS:
        try:
            await jetstream.key_value(bucket.bucket)
            lines.append(f"bucket {bucket.bucket} up to date")
        except NotFoundError:
            await jetstream.create_key_value(bucket)
            lines.append(f"bucket {bucket.bucket} made")
    return lines
