"""Checks of the size and the header of agents' messages, and of the facts about the host."""

from collections import Counter

from flotilla.v1.agent_pb2 import AgentHandshake
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetricsBatch
from services.ingest.edge.cleaning import (
    LATEST_TIME,
    MAX_INTEGER,
    Batch,
    Flaw,
    LeftOut,
    text_flaw,
)
from services.ingest.edge.errors import BatchError, IntakeError, Reason

MAX_BATCH_BYTES = 512 * 1024
MAX_BATCH_ITEMS = 1_000
MAX_FACTS_BYTES = 32 * 1024


def check_batch(vps_id: str, batch: Batch) -> int:
    """Return the batch's size in bytes.

    Raises:
        BatchError: the batch cannot be stored, but the stream goes on.
        IntakeError: the batch belongs to another server, or its header is malformed.
    """
    _check_header(vps_id, batch.header)
    items = count_items(batch)
    if not items:
        raise BatchError(Reason.MALFORMED, "The batch has no items.")
    if items > MAX_BATCH_ITEMS:
        raise BatchError(
            Reason.OVERSIZED, f"The batch has {items} items; the limit is {MAX_BATCH_ITEMS}."
        )
    size = batch.ByteSize()
    if size > MAX_BATCH_BYTES:
        raise BatchError(
            Reason.OVERSIZED, f"The batch has {size} bytes; the limit is {MAX_BATCH_BYTES}."
        )
    return size


def count_items(batch: Batch) -> int:
    return len(batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots)


def clean_handshake(handshake: AgentHandshake) -> LeftOut:
    """Remove the facts about the host that cannot be stored; return what was removed.

    Raises: IntakeError: the handshake is too large.
    """
    size = handshake.ByteSize()
    if size > MAX_FACTS_BYTES:
        raise IntakeError(
            Reason.OVERSIZED, f"The handshake has {size} bytes; the limit is {MAX_FACTS_BYTES}."
        )
    left_out: LeftOut = Counter()
    facts = handshake.facts
    if not 0 <= facts.boot_time_unix_s <= LATEST_TIME:
        facts.ClearField("boot_time_unix_s")
        left_out["boot_time_unix_s", Flaw.TIME] += 1
    for part in (facts, handshake.powers):
        for field, value in part.ListFields():
            if not field.is_repeated:
                if flaw := _flaw(value):
                    part.ClearField(field.name)  # type: ignore[arg-type]
                    left_out[field.name, flaw] += 1
                continue
            kept = [item for item in value if not _flaw(item)]
            if len(kept) < len(value):
                left_out[field.name, Flaw.TEXT] += len(value) - len(kept)
                value[:] = kept
    return left_out


def _flaw(value: object) -> Flaw | None:
    if isinstance(value, str):
        return text_flaw(value)
    return Flaw.OUT_OF_RANGE if isinstance(value, int) and value > MAX_INTEGER else None


def _check_header(vps_id: str, header: BatchHeader) -> None:
    if header.vps_id != vps_id:
        raise IntakeError(Reason.IDENTITY, "The batch carries the id of another server.")
    if not (header.epoch.isalnum() and header.epoch.isascii() and len(header.epoch) <= 64):
        raise IntakeError(
            Reason.MALFORMED, "The batch's epoch is not 1 to 64 ASCII letters and digits."
        )
    if header.sequence == 0:
        raise IntakeError(Reason.MALFORMED, "The batch has no sequence number.")
