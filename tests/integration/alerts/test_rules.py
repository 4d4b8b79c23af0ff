"""Alert rules and channels over HTTP: what is stored, what is refused, and who sees it."""

from typing import Any

import httpx
import pytest

from tests.fixtures.problems import assert_problem
from tests.fixtures.world import World

RULE = {
    "name": "busy",
    "metric_type": "cpu_usage",
    "comparison_operator": ">",
    "threshold": 90,
    "duration_seconds": 60,
    "scope": {"all": True},
    "severity": "warning",
    "channel_ids": [],
    "enabled": True,
}
SECRET = "s3cr3t-of-a-channel-1234"


async def created(user: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    made = await user.post("/alerts/rules", json={**RULE, **fields})
    assert made.status_code == 201, made.text
    rule: dict[str, Any] = made.json()
    return rule


async def test_a_rule_is_read_changed_and_deleted(world: World) -> None:
    user = await world.user("member")
    rule = await created(user, scope={"tags": ["nobody-has-it"]})
    assert (rule["scope"], rule["servers"]) == ({"tags": ["nobody-has-it"]}, 0)
    assert (await user.get(f"/alerts/rules/{rule['id']}")).json() == rule
    changed = await user.patch(f"/alerts/rules/{rule['id']}", json={"threshold": 80})
    assert (changed.json()["threshold"], changed.json()["name"]) == (80, "busy")
    assert (await user.get("/alerts/rules")).json()["items"] == [changed.json()]
    assert (await user.delete(f"/alerts/rules/{rule['id']}")).status_code == 204
    assert (await user.get("/alerts/rules")).json() == {"items": [], "total": 0}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"metric_type": "cpu"}, "metric_type", "cpu_usage"),
        ({"metric_type": "memory_usage"}, "metric_type", "mem_usage"),
        ({"threshold": 101}, "threshold", "from 0 to 100"),
        ({"threshold": None}, "threshold", "Required"),
        ({"metric_type": "offline", "threshold": 2}, "threshold", "from 0 to 1"),
        ({"comparison_operator": None}, "comparison_operator", "Required"),
        ({"comparison_operator": "=="}, "comparison_operator", "Must be one of"),
        ({"duration_seconds": 172_801}, "duration_seconds", "172800"),
        ({"duration_seconds": -1}, "duration_seconds", "0 or more"),
        ({"scope": {}}, "scope", "selects no server"),
        ({"scope": {"server_ids": [], "tags": []}}, "scope", "selects no server"),
        ({"scope": {"all": True, "tags": ["a"]}}, "scope.all", "not both"),
        (
            {"scope": {"server_ids": ["6d9f0bd0-0000-4000-8000-000000000000"]}},
            "scope.server_ids",
            "no server",
        ),
        ({"channel_ids": ["6d9f0bd0-0000-4000-8000-000000000000"]}, "channel_ids", "no channel"),
        ({"nonsense": 1}, "nonsense", "nonsense"),
    ],
)
async def test_a_wrong_rule_is_refused_with_the_name_of_the_field(
    world: World, fields: dict[str, Any], field: str, words: str
) -> None:
    user = await world.user("member")
    answer = await user.post("/alerts/rules", json={**RULE, **fields})
    assert answer.status_code in {400, 422}, answer.text
    assert words in answer.text
    assert field in answer.text


@pytest.mark.parametrize("number", ["NaN", "1e999", "Infinity"])
async def test_a_threshold_that_is_no_finite_number_is_refused(world: World, number: str) -> None:
    user = await world.user("member")
    body = (
        '{"name": "n", "metric_type": "net_rx", "comparison_operator": ">", "threshold": '
        + number
        + ', "duration_seconds": 0, "scope": {"all": true}}'
    )
    answer = await user.post(
        "/alerts/rules", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}, answer.text


async def test_servers_and_channels_of_others_are_refused_as_if_they_did_not_exist(
    world: World,
) -> None:
    user, other = await world.user("member"), await world.user("member")
    server = (await other.post("/vps", json={"name": "a"})).json()["id"]
    for path in ("/alerts/rules", "/alerts/rules/preview"):
        span = {"start": "2026-11-26T08:00:00Z", "end": "2026-11-26T09:00:00Z"}
        body = {**RULE, "scope": {"server_ids": [server]}}
        answer = await user.post(path, json=body | (span if path.endswith("preview") else {}))
        assert_problem(answer, 422)
    rule = await created(other)
    assert (await user.get(f"/alerts/rules/{rule['id']}")).status_code == 404
    assert (await user.get("/alerts/rules")).json()["items"] == []


async def test_a_viewer_reads_and_an_operator_writes_rules_but_no_channels(world: World) -> None:
    owner = await world.user("member")
    viewer = await world.colleague(owner, "viewer")
    operator = await world.colleague(owner, "operator")
    rule = await created(operator)
    assert (await viewer.get(f"/alerts/rules/{rule['id']}")).json()["id"] == rule["id"]
    assert (await viewer.delete(f"/alerts/rules/{rule['id']}")).status_code == 403
    hook = {"name": "h", "type": "webhook", "config": {"url": "https://hooks.example.com/x"}}
    assert (await operator.post("/alerts/channels", json=hook)).status_code == 403
    assert (await owner.post("/alerts/channels", json=hook)).status_code == 201


async def test_an_organisation_has_at_most_a_thousand_rules(world: World) -> None:
    user = await world.user("member")
    rule = await created(user)
    await world.sql(
        "INSERT INTO alert_rules (organisation_id, name, metric_type, comparison_operator,"
        " threshold, duration_seconds, server_ids, tags, all_servers, severity, enabled)"
        " SELECT organisation_id, name, metric_type, comparison_operator, threshold,"
        " duration_seconds, server_ids, tags, all_servers, severity, false FROM alert_rules,"
        " generate_series(1, 999) WHERE id = %(id)s",
        id=rule["id"],
    )
    answer = await user.post("/alerts/rules", json=RULE)
    assert_problem(answer, 409)
    assert "1,000 alert rules" in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9099/hook",
        "http://localhost/hook",
        "http://[::1]/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "json://example.com/",
        "https://user:word@example.com/",
    ],
)
async def test_a_channel_to_a_private_or_other_address_is_refused(world: World, url: str) -> None:
    user = await world.user("member")
    answer = await user.post(
        "/alerts/channels", json={"name": "h", "type": "webhook", "config": {"url": url}}
    )
    assert_problem(answer, 422)
    assert "config.url" in answer.text


CONFIGS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://hooks.example.com/x", "secret": SECRET},
    "email": {
        "host": "smtp.example.com",
        "username": "u",
        "password": SECRET,
        "from": "a@example.com",
        "to": ["b@example.com"],
    },
    "telegram": {"token": f"123456:{SECRET}", "chat_id": "-100123"},
    "slack": {"url": f"https://hooks.slack.com/services/{SECRET}"},
    "discord": {"url": f"https://discord.com/api/webhooks/1/{SECRET}"},
    "ntfy": {"topic": "alerts", "token": SECRET},
    "gotify": {"url": "https://gotify.example.com", "token": SECRET},
    "bark": {"device_key": SECRET},
}


@pytest.mark.parametrize("kind", CONFIGS)
async def test_a_channel_never_shows_its_secret_again(world: World, kind: str) -> None:
    user = await world.user("member")
    body = {"name": "c", "type": kind, "config": CONFIGS[kind]}
    made = await user.post("/alerts/channels", json=body)
    assert made.status_code == 201, made.text
    path = f"/alerts/channels/{made.json()['id']}"
    for shown in (await user.get("/alerts/channels"), await user.get(path)):
        assert SECRET not in shown.text
    ((stored,),) = await world.sql(
        "SELECT to_jsonb(c)::text FROM alert_channels c WHERE id = %(id)s", id=made.json()["id"]
    )
    assert SECRET not in stored
    assert SECRET.encode().hex() not in stored
    wrong = await user.patch(path, json={"config": {"unknown": SECRET}})
    assert wrong.status_code == 422
    assert SECRET not in wrong.text


async def test_a_channel_that_a_rule_uses_stays(world: World) -> None:
    user = await world.user("member")
    body = {"name": "c", "type": "slack", "config": CONFIGS["slack"]}
    channel = (await user.post("/alerts/channels", json=body)).json()
    rule = await created(user, channel_ids=[channel["id"]])
    assert (await user.delete(f"/alerts/channels/{channel['id']}")).status_code == 409
    await user.patch(f"/alerts/rules/{rule['id']}", json={"channel_ids": []})
    assert (await user.delete(f"/alerts/channels/{channel['id']}")).status_code == 204


async def test_only_platform_administrators_list_private_addresses(world: World) -> None:
    admin, member = await world.user("admin"), await world.user("member")
    entry = {"allowed": ["10.1.2.3:9099", "[FD00::5]:25"]}
    assert (await member.put("/settings/outbound", json=entry)).status_code == 403
    listed = await admin.put("/settings/outbound", json=entry)
    assert listed.json() == {"allowed": ["10.1.2.3:9099", "[fd00::5]:25"]}
    config = {"url": "http://10.1.2.3:9099/hook"}
    body = {"name": "h", "type": "webhook", "config": config}
    assert (await member.post("/alerts/channels", json=body)).status_code == 201
    assert_problem(await admin.put("/settings/outbound", json={"allowed": ["localhost:80"]}), 422)
    await admin.put("/settings/outbound", json={"allowed": []})


async def test_a_new_organisation_has_the_default_rules(world: World) -> None:
    admin = await world.user("admin")
    made = await admin.post("/organisations", json={"name": "new"})
    rules = (await admin.get("/alerts/rules")).json()["items"]
    assert {rule["organisation_id"] for rule in rules} == {made.json()["id"]}
    assert [
        (rule["metric_type"], rule["threshold"], rule["duration_seconds"]) for rule in rules
    ] == [
        ("cpu_usage", 95, 1800),
        ("disk_usage", 90, 900),
        ("mem_usage", 95, 900),
        ("offline", 1, 120),
    ]
