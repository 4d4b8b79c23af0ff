from typing import cast

import pytest
from google.protobuf.message import Message

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetric, GenericMetricsBatch
from services.ingest.edge import batch_intake
from services.ingest.edge.batch_intake import BatchIntake
from services.ingest.edge.errors import IntakeError, Reason
from services.kit.bus.connection import Bus
from services.kit.errors import TransientError


class FullStream:
    """A bus whose stream stores nothing while `is_full`."""

    def __init__(self, *, is_full: bool) -> None:
        self.is_full = is_full
        self.stored: list[str] = []

    def require(self) -> None:
        """Succeed: the bus is connected."""

    async def store(
        self, _subject: str, _message: Message, *, msg_id: str, edge_id: str | None = None
    ) -> bool:
        assert edge_id == "edge"
        if self.is_full:
            raise TransientError("The stream is full.")
        self.stored.append(msg_id)
        return True


def batch(vps_id: str = "v") -> GenericMetricsBatch:
    return GenericMetricsBatch(
        header=BatchHeader(vps_id=vps_id, epoch="e", sequence=7),
        metrics=[GenericMetric(name="queue", value=1.0)],
    )


async def test_an_accepted_batch_is_stored_under_its_own_id() -> None:
    stream = FullStream(is_full=False)
    intake = BatchIntake(cast("Bus", stream), "edge")
    ack = await intake.accept("v", "generic", batch(), waited=0.0)
    assert (ack.outcome, ack.epoch, list(ack.sequences)) == (BatchAck.OUTCOME_ACCEPTED, "e", [7])
    assert stream.stored == ["v.e.7"]


async def test_a_batch_that_is_not_stored_comes_again_after_a_growing_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("random.uniform", lambda _low, _high: 1.0)
    stream = FullStream(is_full=True)
    intake = BatchIntake(cast("Bus", stream), "edge")
    delays = []
    for now in (100.0, 110.0, 200.0):  # noqa: B007  the patched clock reads it
        ack = await intake.accept("v", "generic", batch(), waited=0.0)
        assert ack.outcome == BatchAck.OUTCOME_RETRY
        delays.append(ack.retry_after_ms / 1000)
    assert delays == [batch_intake.RETRY_AFTER_MIN, 10.0, batch_intake.RETRY_AFTER_MAX]

    stream.is_full = False
    await intake.accept("v", "generic", batch(), waited=0.0)
    stream.is_full = True
    ack = await intake.accept("v", "generic", batch(), waited=0.0)
    assert ack.retry_after_ms == 1000 * batch_intake.RETRY_AFTER_MIN


async def test_a_batch_of_another_server_is_refused_and_not_stored() -> None:
    stream = FullStream(is_full=False)
    intake = BatchIntake(cast("Bus", stream), "edge")
    with pytest.raises(IntakeError) as refused:
        await intake.accept("v", "generic", batch("w"), waited=0.0)
    assert refused.value.reason is Reason.IDENTITY
    assert stream.stored == []
    assert batch_intake.refusal(batch().header, refused.value) == BatchAck(
        epoch="e", sequences=[7], outcome=BatchAck.OUTCOME_REFUSED, reason=str(refused.value)
    )
