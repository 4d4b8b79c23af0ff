"""The wire format of each type of channel, against stand-ins that answer as the providers do."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.alerting.delivery_store import Delivery
from services.alerting.notify import channels
from services.alerting.notify.errors import NotDeliveredError, UndeliverableError
from services.alerting.notify.message import message
from tests.fixtures.provider import Provider

AT = datetime(2026, 11, 26, 8, tzinfo=UTC)


def firing(**changes: Any) -> Delivery:
    fields: dict[str, Any] = {
        "id": 1,
        "kind": "firing",
        "attempts": 1,
        "created_at": AT,
        "channel_id": UUID(int=1),
        "channel_type": "webhook",
        "config": b"",
        "event_id": UUID(int=2),
        "rule_id": UUID(int=3),
        "rule_name": "busy <!channel> @everyone",
        "vps_id": UUID(int=4),
        "server_name": "box",
        "metric_type": "cpu_usage",
        "severity": "critical",
        "threshold": 90.0,
        "value": 97.5,
        "fired_at": AT,
        "resolved_at": None,
        "resolved_value": None,
        "resolve_reason": None,
    }
    return Delivery(**fields | changes)


# Type, configuration, path, accepted answer, refusal inside an answer with the status 200.
CASES: list[tuple[str, dict[str, Any], str, Any, Any]] = [
    ("slack", {"url": "{url}/services/x"}, "/services/x", {}, None),
    ("discord", {"url": "{url}/api/webhooks/1/x"}, "/api/webhooks/1/x", {}, None),
    ("ntfy", {"url": "{url}", "topic": "t", "token": "k"}, "/", {"id": "x"}, None),
    ("gotify", {"url": "{url}/", "token": "k"}, "/message", {"id": 1}, None),
    (
        "telegram",
        {"url": "{url}", "token": "1:x", "chat_id": "5"},
        "/bot1:x/sendMessage",
        {"ok": True},
        {"ok": False, "error_code": 400},
    ),
    (
        "bark",
        {"url": "{url}", "device_key": "k"},
        "/push",
        {"code": 200, "message": "success"},
        {"code": 400, "message": "failed to get device token"},
    ),
]


def filled(config: dict[str, Any], provider: Provider) -> dict[str, Any]:
    return {name: value.replace("{url}", provider.url) for name, value in config.items()}


@pytest.mark.parametrize(("kind", "config", "path", "accepted", "refused"), CASES)
async def test_a_provider_accepts_and_refuses(
    kind: str, config: dict[str, Any], path: str, accepted: Any, refused: Any
) -> None:
    async with Provider() as provider:
        allowed = {provider.target}
        provider.answers[path] = accepted
        await channels.send(kind, filled(config, provider), message(firing()), allowed)
        (body,) = provider.bodies(path)
        shown = str(body)
        assert "box" in shown
        assert "97.5" in shown
        assert "<!channel>" not in shown or kind != "slack"
        provider.failing.add(path)
        with pytest.raises(NotDeliveredError, match="503"):
            await channels.send(kind, filled(config, provider), message(firing()), allowed)
        provider.failing.clear()
        if refused is not None:
            provider.answers[path] = refused
            with pytest.raises(NotDeliveredError, match="refused"):
                await channels.send(kind, filled(config, provider), message(firing()), allowed)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_an_answer_ends_although_the_connection_stays_open(answer: bytes) -> None:
    async with Provider() as provider:
        provider.raw["/x"] = answer
        config = {"url": f"{provider.url}/x"}
        await channels.send("discord", config, message(firing()), {provider.target})
        assert len(provider.requests) == 1


async def test_discord_mentions_nobody() -> None:
    async with Provider() as provider:
        config = {"url": f"{provider.url}/x"}
        await channels.send("discord", config, message(firing()), {provider.target})
        assert provider.bodies("/x")[0]["allowed_mentions"] == {"parse": []}


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async with Provider() as provider:
        config = {"url": f"http://localhost:{provider.port}/x", "secret": "s" * 16}
        with pytest.raises(UndeliverableError, match="is private"):
            await channels.send("webhook", config, message(firing()), set())
        assert provider.requests == []


async def test_an_address_that_does_not_answer_is_tried_again_later() -> None:
    async with Provider() as provider:
        target, url = provider.target, provider.url
    with pytest.raises(NotDeliveredError, match="does not answer"):
        await channels.send("webhook", {"url": url, "secret": "s"}, message(firing()), {target})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/", "http:///x", "x"])
async def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UndeliverableError):
        await channels.send("webhook", {"url": url, "secret": "s"}, message(firing()), set())


async def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UndeliverableError):
        await channels.send("pager", {}, message(firing()), set())


def test_the_text_says_what_where_and_since_when() -> None:
    shown = message(firing(rule_name="busy"))
    assert shown.title == "Critical: busy on box"
    assert shown.text == (
        "The value of cpu_usage is 97.5 (threshold 90). The alert fired at 2026-11-26T08:00:00.000Z."
    )
    ended = message(
        firing(
            rule_name="busy",
            kind="resolved",
            resolved_at=AT,
            resolved_value=5.0,
            resolve_reason="measured",
        )
    )
    assert ended.title == "Resolved: busy on box"
    assert "The value of cpu_usage is 5 (threshold 90)." in ended.text


def test_the_text_of_an_offline_rule_names_the_state_of_the_server() -> None:
    offline = firing(metric_type="offline", threshold=1.0, value=1.0)
    assert message(offline).text.startswith("The server is offline. The alert fired at ")
    online = firing(
        metric_type="offline",
        kind="resolved",
        resolved_at=AT,
        resolved_value=0.0,
        resolve_reason="measured",
    )
    assert message(online).text.startswith("The server is online. ")


def test_a_delivery_does_not_show_its_configuration() -> None:
    assert "config" not in repr(firing(config=b"secret"))
