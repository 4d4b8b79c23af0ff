import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from flotilla.v1.metrics_pb2 import BatchHeader, PerformanceBundle, PerformanceSnapshotBatch
from services.kit.errors import PoisonError
from services.kit.metrics import bundles

SINGLE = "flotilla.telemetry.v.performance"
BUNDLE = "flotilla.telemetry.edge.e.performance"


def message(subject: str, data: bytes, headers: dict[str, str] | None = None) -> Msg:
    return Msg(Client(), subject=subject, data=data, headers=headers)


def batch(vps_id: str) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(header=BatchHeader(vps_id=vps_id, epoch="e", sequence=1))


def test_a_bundle_is_split_into_the_messages_of_its_servers() -> None:
    bundle = PerformanceBundle(batches=[batch("a"), batch("b")])
    headers = {
        "Flotilla-Type": "flotilla.v1.PerformanceBundle",
        "Nats-Msg-Id": "e.1",
        "Flotilla-Edge": "e",
    }
    parts = bundles.split(message(BUNDLE, bundle.SerializeToString(), headers))
    assert [part.subject for part in parts] == [
        "flotilla.telemetry.a.performance",
        "flotilla.telemetry.b.performance",
    ]
    assert [PerformanceSnapshotBatch.FromString(part.data) for part in parts] == [
        batch("a"),
        batch("b"),
    ]
    assert {tuple((part.headers or {}).items()) for part in parts} == {
        (("Flotilla-Type", "flotilla.v1.PerformanceSnapshotBatch"), ("Flotilla-Edge", "e"))
    }


def test_a_message_that_is_no_bundle_is_its_own_part() -> None:
    single = message(SINGLE, b"\xff")
    assert bundles.split(single) == [single]


def test_the_servers_id_comes_from_the_subject_or_from_the_edges_bundle() -> None:
    single = message(SINGLE, batch("another").SerializeToString())
    assert [vps_id for vps_id, _ in bundles.performance(single)] == ["v"]
    bundle = PerformanceBundle(batches=[batch("a")])
    assert [
        vps_id for vps_id, _ in bundles.performance(message(BUNDLE, bundle.SerializeToString()))
    ] == ["a"]


@pytest.mark.parametrize("subject", [SINGLE, BUNDLE])
def test_an_unreadable_message_is_poison(subject: str) -> None:
    with pytest.raises(PoisonError):
        bundles.performance(message(subject, b"\xff"))
