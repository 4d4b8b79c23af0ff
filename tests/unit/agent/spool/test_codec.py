import dataclasses
import zlib

import pytest

from agent.base.errors import ItemDamagedError
from agent.spool import codec
from agent.spool.models import Item, Kind, Measurement
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetric, PerformanceSnapshot

HEADER = BatchHeader(vps_id="v", epoch="e", sequence=7)
MEASUREMENTS: dict[Kind, tuple[Measurement, ...]] = {
    Kind.PERFORMANCE: (PerformanceSnapshot(time_unix_ms=5, load_1=1.5),),
    Kind.DOCKER: (DockerSnapshot(containers=[DockerContainerInfo(image="i" * 20_000)]),),
    Kind.GENERIC: (GenericMetric(name="a", value=1), GenericMetric(name="b" * 200)),
}


def item(kind: Kind) -> Item:
    content = MEASUREMENTS[kind]
    return Item(kind, 1, 5, len(content), codec.size_in_message(content), content)


def packed(kind: Kind) -> Item:
    return dataclasses.replace(item(kind), content=codec.pack(item(kind)))


@pytest.mark.parametrize("kind", Kind)
def test_a_message_is_the_same_from_memory_and_from_the_spool(kind: Kind) -> None:
    live = codec.message(kind, [item(kind), item(kind)], HEADER)

    assert codec.message(kind, [packed(kind), item(kind)], HEADER) == live
    assert codec.message(kind, [packed(kind), packed(kind)], HEADER) == live
    assert codec.pack(packed(kind)) == codec.pack(item(kind))


@pytest.mark.parametrize("kind", Kind)
def test_the_size_of_an_item_is_what_it_adds_to_a_batch_or_little_more(kind: Kind) -> None:
    one, two = (codec.message(kind, [item(kind)] * count, HEADER).ByteSize() for count in (1, 2))

    assert two - one <= item(kind).size <= two - one + codec.FRAMING * len(MEASUREMENTS[kind])


@pytest.mark.parametrize("content", [b"", b"\x00", zlib.compress(b"no batch")])
def test_content_that_is_not_a_batch_is_damaged(content: bytes) -> None:
    damaged = dataclasses.replace(item(Kind.PERFORMANCE), content=content)

    assert not codec.is_readable(damaged)
    with pytest.raises(ItemDamagedError):
        codec.message(Kind.PERFORMANCE, [item(Kind.PERFORMANCE), damaged], HEADER)
