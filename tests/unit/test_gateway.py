import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
import pytest
from pydantic import SecretStr

from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from services.gateway import credentials, history
from services.gateway.credentials import Claims
from services.gateway.live import Live, Server
from services.gateway.presence import PresenceBoard, Status, judge

KEY = SecretStr("kJ8s0vT2qLx9ZbWm4RcYd1Gh7NfPe3Ua")
CLAIMS = Claims(uuid4(), uuid4())


def test_no_span_gives_more_than_a_thousand_points() -> None:
    seconds = 0.001
    while (name := history.finest(timedelta(seconds=seconds))) is not None:
        width = history.WIDTHS[name]
        # The worst start is just before a bucket's edge.
        assert timedelta(seconds=seconds) / width + 1 <= history.MAX_POINTS
        seconds *= 1.07
    assert timedelta(seconds=seconds) > timedelta(days=365 * 19)


@pytest.mark.parametrize(
    ("enrolled", "connected_for", "sample_age", "interval", "status"),
    [
        (False, None, None, 2, Status.PENDING),
        (False, 5, 1, 2, Status.PENDING),
        (True, None, None, 2, Status.OFFLINE),
        (True, None, 1, 2, Status.OFFLINE),
        (True, 1, None, 2, Status.ONLINE),
        (True, 100, 1, 2, Status.ONLINE),
        (True, 100, 10, 2, Status.ONLINE),
        (True, 100, 11, 2, Status.STALE),
        (True, 100, None, 2, Status.STALE),
        (True, 5, 500, 2, Status.ONLINE),
        (True, 500, 100, 60, Status.ONLINE),
        (True, 500, 181, 60, Status.STALE),
    ],
)
def test_a_status_follows_from_connection_and_data(
    enrolled: bool,
    connected_for: float | None,
    sample_age: float | None,
    interval: float,
    status: Status,
) -> None:
    assert (
        judge(
            enrolled=enrolled,
            connected_for=connected_for,
            sample_age=sample_age,
            report_interval=interval,
        )
        is status
    )


def test_a_restored_row_does_not_make_an_hour_the_report_interval() -> None:
    server = Server(UUID(int=1), enrolled=True, status=Status.OFFLINE)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    server.restore({"time": hour_ago, "vps_id": "v", "detail": None}, 1000.0)
    assert server.sampled_at == pytest.approx(1000.0 - 3600, abs=5)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    assert server.take(PerformanceSnapshot(time_unix_ms=now_ms), 1000.0)
    assert server.interval == 2.0
    assert server.take(PerformanceSnapshot(time_unix_ms=now_ms + 5000), 1005.0)
    assert server.interval == 5.0
    assert not server.take(PerformanceSnapshot(time_unix_ms=now_ms + 4000), 1006.0)


async def test_a_slow_screens_mailbox_keeps_the_newest_alone() -> None:
    live = Live(PresenceBoard())
    live.know({str(number): (UUID(int=1), True) for number in range(10)})
    with live.viewing(lambda _: True, with_detail=False) as viewer:
        for number in range(10_000):
            viewer.post(str(number % 10), "sample", str(number).encode())
        mail = await asyncio.wait_for(viewer.collect(), 1)
    assert len(mail) == 20
    assert set(mail[10:]) == {str(number).encode() for number in range(9_990, 10_000)}


def test_a_token_says_who_and_nothing_forged_is_believed() -> None:
    token = credentials.issue_token(KEY, CLAIMS)
    assert credentials.read_token(KEY, token) == CLAIMS
    payload = jwt.decode(token, options={"verify_signature": False})
    secret = KEY.get_secret_value()
    for forged in (
        jwt.encode(payload, "", "none"),
        jwt.encode(payload, "x" * 40, "HS256"),
        jwt.encode(payload | {"aud": "other"}, secret, "HS256"),
        jwt.encode(payload | {"iss": "other"}, secret, "HS256"),
        jwt.encode(payload | {"exp": 1}, secret, "HS256"),
        jwt.encode({k: v for k, v in payload.items() if k != "exp"}, secret, "HS256"),
        jwt.encode(payload | {"sid": "x"}, secret, "HS256"),
        jwt.encode(payload | {"sid": 5}, secret, "HS256"),
        token[:-2],
        "",
        "…",
    ):
        assert credentials.read_token(KEY, forged) is None


async def test_passwords_are_compared_by_their_hash() -> None:
    hashed = credentials.hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$")
    assert await credentials.password_matches("correct horse battery", hashed)
    assert not await credentials.password_matches("wrong", hashed)
    assert not await credentials.password_matches("wrong", None)
    assert not await credentials.password_matches("wrong", "not a hash")
