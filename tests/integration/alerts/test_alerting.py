"""Alerts from a measured sample to a delivered notification."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest_asyncio

from flotilla.v1.agent_pb2 import BatchAck
from services.alerting.timing import AlertingTiming
from tests.fixtures.provider import Provider
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

PATIENCE = 40.0  # seconds
QUICK = AlertingTiming(
    lease=3.0,
    renew_interval=0.3,
    checkpoint_interval=0.5,
    presence_interval=0.2,
    grace=1.0,
    delivery_interval=0.1,
    first_retry=0.2,
    max_retry=1.0,
)


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


async def start(world: World, *names: str, timing: AlertingTiming = QUICK) -> None:
    for name in names:
        world.start(name, timing=timing if name == "alerting" else None)
    await world.ready(*names)


class Stage:
    """A user with a channel to the provider."""

    def __init__(self, world: World, user: httpx.AsyncClient, channel: dict[str, Any]) -> None:
        self.world, self.user, self.channel = world, user, channel

    async def rule(self, **fields: Any) -> dict[str, Any]:
        body = {
            "name": "busy",
            "metric_type": "cpu_usage",
            "comparison_operator": ">",
            "threshold": 90,
            "duration_seconds": 2,
            "scope": {"all": True},
            "severity": "critical",
            "channel_ids": [self.channel["id"]],
            "enabled": True,
            **fields,
        }
        made = await self.user.post("/alerts/rules", json=body)
        assert made.status_code == 201, made.text
        rule: dict[str, Any] = made.json()
        return rule

    async def events(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.user.get("/alerts/events", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


async def staged(world: World, provider: Provider) -> Stage:
    admin = await world.user("admin")
    listed = await admin.put("/settings/outbound", json={"allowed": [provider.target]})
    assert listed.status_code == 200, listed.text
    user = await world.user("member")
    made = await user.post(
        "/alerts/channels",
        json={"name": "hook", "type": "webhook", "config": {"url": f"{provider.url}/hook"}},
    )
    assert made.status_code == 201, made.text
    return Stage(world, user, made.json())


async def report(agent: ScriptedAgent, cpu: float, *, ago: float = 0.0) -> None:
    await agent.report(snapshot(now_ms() - round(ago * 1000), cpu_usage_percent=cpu))


async def evaluating(world: World, rules: int) -> None:
    """Wait until the service evaluates so many rules."""

    def loaded() -> bool:
        checks = {check.name: check.detail for check in world.health["alerting"].status().checks}
        return checks["alerts"] == f"evaluating {rules} rules"

    await until(loaded, seconds=PATIENCE)


async def test_a_threshold_notifies_once_when_it_fires_and_once_when_it_resolves(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user, "box")
    stranger = await own_world.connected()
    await agent.connect()
    rule = await stage.rule()
    assert rule["servers"] == 1
    await evaluating(own_world, 1)

    for ago in (4, 3, 2, 1):
        await report(stranger, 99, ago=ago)
        await report(agent, 99, ago=ago)
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    firing = provider.bodies("/hook")
    (event,) = await stage.events(state="firing")
    fired_at = firing[0].pop("fired_at")
    assert datetime.fromisoformat(fired_at) == datetime.fromisoformat(event["fired_at"])
    assert firing[0] == {
        "state": "firing",
        "rule": "busy",
        "server": "box",
        "value": 99.0,
        "threshold": 90.0,
        "resolved_at": None,
        "incident_id": event["id"],
        "metric_type": "cpu_usage",
        "severity": "critical",
        "rule_id": rule["id"],
        "vps_id": agent.vps_id,
    }

    await own_world.stop("alerting")
    await start(own_world, "alerting")
    await evaluating(own_world, 1)
    await report(agent, 99, ago=0.5)
    await report(agent, 5)
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    resolved = provider.bodies("/hook")[1]
    (ended,) = await stage.events()
    assert resolved.pop("fired_at") == fired_at
    resolved_at = resolved.pop("resolved_at")
    assert datetime.fromisoformat(resolved_at) == datetime.fromisoformat(ended["resolved_at"])
    assert (ended["state"], ended["resolve_reason"]) == ("resolved", "measured")
    del firing[0]["resolved_at"]
    assert resolved == firing[0] | {"state": "resolved", "value": 5.0}
    request = provider.requests[0]
    signed = request.headers["x-flotilla-timestamp"].encode() + b"." + request.body
    key = stage.channel["signing_secret"].encode()
    expected = hmac.new(key, signed, hashlib.sha256).hexdigest()
    assert request.headers["x-flotilla-signature"] == f"sha256={expected}"
    log = await stage.user.get(f"/alerts/channels/{stage.channel['id']}/deliveries")
    assert [(one["kind"], one["status"], one["attempts"]) for one in log.json()["items"]] == [
        ("resolved", "delivered", 1),
        ("firing", "delivered", 1),
    ]


async def test_late_and_missing_data_change_nothing(own_world: World, provider: Provider) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    await stage.rule()
    await evaluating(own_world, 1)
    # A backlog of an hour ago, above the threshold, and then one below it.
    for ago in (3604, 3602, 3600):
        await report(agent, 99, ago=ago)
    for ago in (4, 3, 2, 1):
        await report(agent, 95, ago=ago)
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    await report(agent, 1, ago=3000)
    await agent.report(snapshot(now_ms(), cpu_usage_percent=None))
    # The next sample shows that the ones before it were evaluated.
    other = await stage.rule(name="other", threshold=96, duration_seconds=0)
    await evaluating(own_world, 2)
    await report(agent, 97)
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    events = {event["rule_id"]: event for event in await stage.events()}
    assert [event["state"] for event in events.values()] == ["firing", "firing"]
    assert events[other["id"]]["value"] == 97


async def test_after_an_outage_of_the_service_only_present_alerts_are_notified(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    past, present = [await own_world.enrolled(stage.user, name) for name in ("past", "present")]
    for agent in (past, present):
        await agent.connect()
    await stage.rule(duration_seconds=0)
    await evaluating(own_world, 1)
    await own_world.stop("alerting")
    for agent, last in ((past, 1), (present, 98)):
        await report(agent, 99, ago=60)
        sequence = await agent.report(snapshot(now_ms() - 50_000, cpu_usage_percent=last))
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)
    await start(own_world, "alerting", timing=replace(QUICK, catch_up=20.0, catch_up_pause=3.0))
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    events = {event["server"]: event["state"] for event in await stage.events()}
    assert events == {"past": "resolved", "present": "firing"}
    assert [body["server"] for body in provider.bodies("/hook")] == ["present"]


async def test_two_instances_notify_once_and_the_second_takes_over(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    await stage.rule(duration_seconds=0)
    await evaluating(own_world, 1)
    own_world.start("alerting", run_as="second", timing=QUICK)
    await own_world.ready("second")
    await report(agent, 99)
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    await own_world.stop("alerting")
    await until(
        lambda: any(
            check.detail == "evaluating 1 rules"
            for check in own_world.health["second"].status().checks
        ),
        seconds=PATIENCE,
    )
    await report(agent, 98, ago=-1)
    await report(agent, 5, ago=-2)
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    assert [body["state"] for body in provider.bodies("/hook")] == ["firing", "resolved"]
    await own_world.stop("second")


async def test_a_server_that_disconnects_is_offline_and_its_return_resolves(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    await stage.user.post("/vps", json={"name": "never installed"})
    await stage.rule(
        metric_type="offline", comparison_operator=None, threshold=None, duration_seconds=1
    )
    await evaluating(own_world, 1)
    await agent.close()
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    back = own_world.agent()
    back.key, back.vps_id = agent.key, agent.vps_id
    await back.connect()
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    assert [body["state"] for body in provider.bodies("/hook")] == ["firing", "resolved"]
    assert {body["vps_id"] for body in provider.bodies("/hook")} == {agent.vps_id}


async def test_a_failing_provider_gets_everything_later_in_order_and_delays_no_other(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    made = await stage.user.post(
        "/alerts/channels",
        json={"name": "down", "type": "webhook", "config": {"url": f"{provider.url}/down"}},
    )
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    await stage.rule(duration_seconds=0, channel_ids=[made.json()["id"], stage.channel["id"]])
    await evaluating(own_world, 1)
    provider.failing.add("/down")
    await report(agent, 99, ago=1)
    await report(agent, 1)
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    await until(lambda: len(provider.bodies("/down")) >= 3, seconds=PATIENCE)
    assert {body["state"] for body in provider.bodies("/down")} == {"firing"}
    provider.failing.clear()
    await until(lambda: provider.bodies("/down")[-1]["state"] == "resolved", seconds=PATIENCE)
    assert [body["state"] for body in provider.bodies("/hook")] == ["firing", "resolved"]


async def test_the_gate_refuses_when_it_connects_and_follows_no_redirect(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "gateway", "alerting")
    stage = await staged(own_world, provider)

    async def outcome(url: str) -> dict[str, Any]:
        changed = await stage.user.patch(
            f"/alerts/channels/{stage.channel['id']}", json={"config": {"url": url}}
        )
        assert changed.status_code == 200, changed.text
        path = f"/alerts/channels/{stage.channel['id']}"
        test = (await stage.user.post(f"{path}/test")).json()

        async def ended() -> dict[str, Any] | bool:
            log = (await stage.user.get(f"{path}/deliveries")).json()["items"]
            found: dict[str, Any]
            (found,) = [one for one in log if one["id"] == test["id"]]
            return found["status"] != "pending" and found

        result = await until(ended, seconds=PATIENCE)
        assert isinstance(result, dict)
        return result

    assert (await outcome(f"{provider.url}/hook"))["status"] == "delivered"
    assert provider.bodies("/hook")[0]["state"] == "test"
    redirected = await outcome(f"{provider.url}/redirect")
    assert "redirect" in redirected["error"]
    assert provider.bodies("/elsewhere") == []
    admin = await own_world.user("admin")
    channel_url = f"{provider.url}/late"
    await stage.user.patch(
        f"/alerts/channels/{stage.channel['id']}", json={"config": {"url": channel_url}}
    )
    await admin.put("/settings/outbound", json={"allowed": []})
    path = f"/alerts/channels/{stage.channel['id']}"
    await stage.user.post(f"{path}/test")

    async def refused() -> bool:
        log = (await stage.user.get(f"{path}/deliveries")).json()["items"]
        return bool(log[0]["status"] == "failed" and "is private" in log[0]["error"])

    await until(refused, seconds=PATIENCE)
    assert provider.bodies("/late") == []


async def test_a_rule_that_cannot_be_evaluated_is_broken_and_harms_no_other(
    own_world: World, provider: Provider
) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    bad = await stage.rule(name="bad")
    await own_world.sql(
        "UPDATE alert_rules SET metric_type = 'gone' WHERE id = %(id)s", id=bad["id"]
    )
    await stage.rule(duration_seconds=0)
    await evaluating(own_world, 2)
    await report(agent, 99)
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)

    async def broken() -> bool:
        rule = (await stage.user.get(f"/alerts/rules/{bad['id']}")).json()
        return bool(rule["broken"] == "The metric gone does not exist.")

    await until(broken, seconds=PATIENCE)


async def test_the_end_of_a_rule_ends_its_alerts(own_world: World, provider: Provider) -> None:
    await start(own_world, "edge", "writer", "gateway", "alerting")
    stage = await staged(own_world, provider)
    agent = await own_world.enrolled(stage.user)
    await agent.connect()
    rule = await stage.rule(duration_seconds=0)
    await evaluating(own_world, 1)
    await report(agent, 99)
    await until(lambda: provider.bodies("/hook") or None, seconds=PATIENCE)
    assert (await stage.user.delete(f"/alerts/rules/{rule['id']}")).status_code == 204
    await until(lambda: len(provider.bodies("/hook")) == 2, seconds=PATIENCE)
    (event,) = await stage.events()
    assert (event["state"], event["resolve_reason"]) == ("resolved", "rule_changed")


async def test_the_preview_agrees_with_what_fired(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "a"})).json()["id"]
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
    for minute, cpu in enumerate((10, 95, 95, 95, 20, 95, 95, 95, 95)):
        await world.sql(
            "INSERT INTO performance_metrics (time, vps_id, cpu_usage) VALUES (%(t)s, %(v)s, %(c)s)",
            t=began + timedelta(minutes=minute),
            v=vps_id,
            c=cpu,
        )
    body = {
        "name": "p",
        "metric_type": "cpu_usage",
        "comparison_operator": ">",
        "threshold": 90,
        "duration_seconds": 120,
        "scope": {"server_ids": [vps_id]},
        "start": began.isoformat(),
        "end": (began + timedelta(minutes=20)).isoformat(),
    }
    answer = await user.post("/alerts/rules/preview", json=body)
    assert answer.status_code == 200, answer.text
    found = json.loads(answer.text)
    times = [
        [one and datetime.fromisoformat(one) - began for one in (i["fired_at"], i["resolved_at"])]
        for i in found["intervals"]
    ]
    assert times == [[timedelta(minutes=3), timedelta(minutes=4)], [timedelta(minutes=7), None]]
    assert found["evaluated_samples"] == 9
    assert {interval["vps_id"] for interval in found["intervals"]} == {vps_id}
