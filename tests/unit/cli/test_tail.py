import re

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from flotilla.v1.metrics_pb2 import BatchHeader, PerformanceBundle, PerformanceSnapshotBatch
from services.cli.tail import check_subject, decode_payload, matches, parts
from services.kit.errors import SettingsError

BUNDLE = "flotilla.telemetry.edge.e.performance"


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b", "a.b", True),
        (">", "a", True),
    ],
)
def test_a_subject_matches_a_pattern_as_in_nats(
    pattern: str, subject: str, *, expected: bool
) -> None:
    assert matches(pattern, subject) is expected


def bundle(*vps_ids: str) -> Msg:
    batches = [
        PerformanceSnapshotBatch(header=BatchHeader(vps_id=vps_id, epoch="e", sequence=1))
        for vps_id in vps_ids
    ]
    return Msg(
        Client(), subject=BUNDLE, data=PerformanceBundle(batches=batches).SerializeToString()
    )


def test_a_bundle_is_shown_as_the_batches_that_were_asked_for() -> None:
    found = parts(bundle("a", "b"), "flotilla.telemetry.b.performance")
    assert [part.subject for part in found] == ["flotilla.telemetry.b.performance"]


def test_a_bundle_that_was_asked_for_is_shown_whole() -> None:
    message = bundle("a", "b")
    assert parts(message, "flotilla.telemetry.edge.>") == [message]


def test_an_unreadable_bundle_is_shown_as_it_is() -> None:
    message = Msg(Client(), subject=BUNDLE, data=b"\xff")
    assert parts(message, "flotilla.telemetry.>") == [message]


def test_a_payload_of_an_unknown_type_is_shown_with_the_problem() -> None:
    line = decode_payload("flotilla.v1.Unknown", b"\x01")
    assert line["payload"] == "AQ=="
    assert "Unknown" in line["problem"]


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("nonsense x", "must not contain spaces"),
        ("a..b", "must not have an empty part"),
        (".a", "must not have an empty part"),
        ("a.>.b", 'may have ">" only as its last part'),
        ("a>", 'may have ">" only as its last part'),
        ("a.b*", 'may have "*" only as a whole part'),
    ],
)
def test_a_subject_that_nats_refuses_is_explained(subject: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f'The subject "{subject}" {reason}')):
        check_subject(subject)


@pytest.mark.parametrize("subject", [">", "a", "a.>", "a.*.b", "flotilla.telemetry.>"])
def test_a_subject_of_nats_is_accepted(subject: str) -> None:
    check_subject(subject)
