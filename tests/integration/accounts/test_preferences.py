"""Preferences of users: what they accept, and that they stay."""

from typing import Any

import httpx
import pytest

from tests.fixtures.problems import assert_problem
from tests.fixtures.world import PASSWORD, World

URL = "/auth/me/preferences"
NOTHING = {
    "theme": None,
    "language": None,
    "rate_unit": None,
    "size_unit": None,
    "clock": None,
    "time_zone": None,
    "first_weekday": None,
}
CHOSEN = {
    "theme": "dark",
    "language": "zh-CN",
    "rate_unit": "bytes",
    "size_unit": "decimal",
    "clock": "12h",
    "time_zone": "Asia/Kathmandu",
    "first_weekday": "sunday",
}


async def preferences_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(URL)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_new_user_has_chosen_nothing(world: World) -> None:
    assert await preferences_of(await world.user("member")) == NOTHING


async def test_changes_are_merged_and_null_removes_a_choice(world: World) -> None:
    user = await world.user("member")
    assert (await user.patch(URL, json=CHOSEN)).json() == CHOSEN

    changed = await user.patch(URL, json={"clock": "24h", "time_zone": None})

    assert changed.status_code == 200, changed.text
    assert changed.json() == {**CHOSEN, "clock": "24h", "time_zone": None}
    assert await preferences_of(user) == changed.json()
    assert (await user.patch(URL, json={})).json() == changed.json()


async def test_another_browser_gets_them_when_it_logs_in_and_when_it_refreshes(
    world: World,
) -> None:
    user, other = await world.user(), world.anonymous()
    name = (await user.get("/auth/me")).json()["username"]
    await user.patch(URL, json=CHOSEN)

    logged_in = await other.post("/auth/login", json={"username": name, "password": PASSWORD})
    assert logged_in.json()["preferences"] == CHOSEN
    await user.patch(URL, json={"theme": "light"})
    refreshed = await other.post("/auth/refresh")
    assert refreshed.json()["preferences"] == {**CHOSEN, "theme": "light"}


async def test_nobody_changes_those_of_another_user(world: World) -> None:
    first, second = await world.user("member"), await world.user("admin")
    await first.patch(URL, json=CHOSEN)
    await second.patch(URL, json={"clock": "24h"})

    assert await preferences_of(first) == CHOSEN
    assert await preferences_of(second) == {**NOTHING, "clock": "24h"}
    assert_problem(await world.anonymous().get(URL), 401)
    assert_problem(await world.anonymous().patch(URL, json=CHOSEN), 401)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"colour": "red"}, "`colour`"),
        ({"preferences": {}}, "`preferences`"),
        ({"clock": "25h"}, "12h, 24h"),
        ({"rate_unit": "nibbles"}, "bits, bytes"),
        ({"first_weekday": 1}, "text"),
        ({"time_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"time_zone": "x" * 65}, "64 characters"),
        ({"time_zone": "Europe/Berlin\n"}, "time zone"),
        ([], "object"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(
    world: World, body: object, said: str
) -> None:
    user = await world.user("member")
    await user.patch(URL, json=CHOSEN)

    answer = await user.patch(URL, json=body)

    assert_problem(answer, 422)
    assert said in answer.text
    assert await preferences_of(user) == CHOSEN


async def test_a_known_field_beside_an_unknown_one_is_not_saved(world: World) -> None:
    user = await world.user("member")
    assert_problem(await user.patch(URL, json={"clock": "12h", "colour": "red"}), 422)
    assert await preferences_of(user) == NOTHING


async def test_a_value_of_another_version_stops_nobody_from_logging_in(world: World) -> None:
    user = await world.user("member")
    await world.sql(
        'UPDATE users SET preferences = \'{"clock": "sundial", "theme": "dark"}\''
        " WHERE username = %(name)s",
        name=(await user.get("/auth/me")).json()["username"],
    )
    assert await preferences_of(user) == {**NOTHING, "theme": "dark"}
    assert (await user.post("/auth/refresh")).status_code == 200
