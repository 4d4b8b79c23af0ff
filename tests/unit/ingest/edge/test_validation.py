import re
from collections.abc import Callable

import pytest

from flotilla.v1.agent_pb2 import AgentHandshake, HostFacts
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest.edge.cleaning import LATEST_TIME, Batch
from services.ingest.edge.errors import IntakeError, Reason
from services.ingest.edge.validation import check_batch, clean_handshake

CONTAINER = "a" * 64


def header(**fields: object) -> BatchHeader:
    return BatchHeader(**{"vps_id": "v", "epoch": "e1", "sequence": 1} | fields)  # type: ignore[arg-type]


def performance(*snapshots: PerformanceSnapshot, **fields: object) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(
        header=header(**fields), snapshots=snapshots or [PerformanceSnapshot(time_unix_ms=1)]
    )


def docker(*containers: DockerContainerInfo) -> DockerInfoBatch:
    return DockerInfoBatch(header=header(), snapshots=[DockerSnapshot(containers=containers)])


def generic(*metrics: GenericMetric) -> GenericMetricsBatch:
    return GenericMetricsBatch(header=header(), metrics=metrics)


@pytest.mark.parametrize(
    "batch",
    [
        performance(PerformanceSnapshot(cpu_usage_percent=1.5, memory_total_bytes=1 << 62)),
        docker(DockerContainerInfo(id=CONTAINER, labels={"a": "x" * 4_096}, names=["web"])),
        generic(GenericMetric(name="queue.depth_1:a", labels={"host": "é"}, value=-1.0)),
    ],
    ids=["performance", "docker", "generic"],
)
def test_a_good_batch_passes_and_its_size_is_returned(batch: Batch) -> None:
    assert check_batch("v", batch) == batch.ByteSize()


MALFORMED, OVERSIZED = Reason.MALFORMED, Reason.OVERSIZED
BAD: dict[str, tuple[Callable[[], Batch], Reason, str]] = {
    "another server": (lambda: performance(vps_id="w"), Reason.IDENTITY, "another server"),
    "no epoch": (lambda: performance(epoch=""), MALFORMED, "epoch"),
    "an epoch with a dot": (lambda: performance(epoch="a.b"), MALFORMED, "epoch"),
    "a long epoch": (lambda: performance(epoch="a" * 65), MALFORMED, "epoch"),
    "no sequence": (lambda: performance(sequence=0), MALFORMED, "sequence"),
    "no items": (lambda: PerformanceSnapshotBatch(header=header()), MALFORMED, "no items"),
    "too many items": (
        lambda: performance(*[PerformanceSnapshot(time_unix_ms=1)] * 1_001),
        OVERSIZED,
        "has 1001 items; the limit is 1000",
    ),
    "too many bytes": (
        lambda: performance(*[PerformanceSnapshot(cpu_core_usage_percent=[1.0] * 1_024)] * 130),
        OVERSIZED,
        "bytes; the limit is 524288",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_batch_is_refused_with_the_field_and_the_limit(case: str) -> None:
    make, reason, text = BAD[case]
    with pytest.raises(IntakeError, match=re.escape(text)) as refused:
        check_batch("v", make())
    assert refused.value.reason is reason
    assert str(refused.value).endswith(".")


def test_a_handshake_within_its_limits_is_left_as_it_is() -> None:
    handshake = AgentHandshake(vps_id="v", facts=HostFacts(hostname="h", ip_addresses=["::1"]))
    before = handshake.SerializeToString()
    assert clean_handshake(handshake) == {}
    assert handshake.SerializeToString() == before


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        (HostFacts(os_id="debian", boot_time_unix_s=LATEST_TIME + 1), HostFacts(os_id="debian")),
        (HostFacts(os_id="debian", boot_time_unix_s=-1), HostFacts(os_id="debian")),
        (HostFacts(os_id="debian", hostname="h\0"), HostFacts(os_id="debian")),
        (HostFacts(cpu_count=2, memory_total_bytes=1 << 63), HostFacts(cpu_count=2)),
        (HostFacts(ip_addresses=["::1", "a" * 513]), HostFacts(ip_addresses=["::1"])),
    ],
)
def test_a_fact_that_cannot_be_stored_is_left_out_alone(facts: HostFacts, kept: HostFacts) -> None:
    handshake = AgentHandshake(facts=facts)
    assert clean_handshake(handshake).total() == 1
    assert handshake.facts == kept


def test_a_handshake_that_is_too_large_is_refused() -> None:
    with pytest.raises(IntakeError) as refused:
        clean_handshake(AgentHandshake(facts=HostFacts(ip_addresses=["a" * 500] * 70)))
    assert refused.value.reason is OVERSIZED
