"""Attacks on second factors."""

import asyncio

import pytest

from services.gateway.accounts.passwords import hash_password
from services.gateway.api.problem_types import ProblemType
from tests.fixtures.factors import (
    FACTORS,
    code_of,
    complete,
    enrolment,
    secured,
    wrong_code,
)
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import PASSWORD, World


async def test_a_code_is_not_accepted_twice(world: World) -> None:
    user = await secured(world)
    code = code_of(user.secret)
    assert (await complete(world.anonymous(), await user.challenge(), code)).status_code == 200
    for used in (code, code_of(user.secret, -1)):
        again = await complete(world.anonymous(), await user.challenge(), used)
        assert_problem(again, 401, ProblemType.WRONG_CODE)
    # A code that a change used up does not log in either.
    later = code_of(user.secret, 1)
    renewed = await user.client.post(f"{FACTORS}/recovery-codes", json={"code": later})
    assert renewed.status_code == 200
    again = await complete(world.anonymous(), await user.challenge(), later)
    assert_problem(again, 401, ProblemType.WRONG_CODE)


async def test_codes_of_another_user_are_wrong(world: World) -> None:
    user, other = await secured(world), await secured(world)
    for code in (code_of(other.secret), other.recovery_codes[0]):
        answer = await complete(world.anonymous(), await user.challenge(), code)
        assert_problem(answer, 401, ProblemType.WRONG_CODE)
    # Nothing of the other user was used up.
    answer = await complete(world.anonymous(), await other.challenge(), other.recovery_codes[0])
    assert answer.status_code == 200


async def test_a_seed_that_was_copied_to_another_user_does_not_work(world: World) -> None:
    user, attacker = await secured(world), await secured(world)
    await world.sql(
        "UPDATE totp_factors SET last_step = 0, seed ="
        " (SELECT seed FROM totp_factors WHERE user_id = %(from)s) WHERE user_id = %(to)s",
        **{"from": attacker.id, "to": user.id},
    )
    answer = await complete(world.anonymous(), await user.challenge(), code_of(attacker.secret))
    assert_problem(answer, 500)


async def test_a_challenge_is_for_its_own_user(world: World) -> None:
    victim, attacker = await secured(world), await secured(world)
    answer = await complete(world.anonymous(), await attacker.challenge(), code_of(attacker.secret))
    assert answer.json()["user"]["id"] == attacker.id
    answer = await complete(world.anonymous(), await victim.challenge(), attacker.recovery_codes[0])
    assert_problem(answer, 401, ProblemType.WRONG_CODE)


async def test_a_challenge_is_used_once(world: World) -> None:
    user = await secured(world)
    challenge = await user.challenge()
    first = await complete(world.anonymous(), challenge, code_of(user.secret))
    assert first.status_code == 200
    second = await complete(world.anonymous(), challenge, user.recovery_codes[0])
    assert_problem(second, 401, ProblemType.UNAUTHENTICATED)
    # The recovery code was not used up by that.
    assert (await user.client.get(FACTORS)).json()["recovery_codes"] == 10

    challenge = await user.challenge()
    answers = await asyncio.gather(
        *(complete(world.anonymous(), challenge, code) for code in user.recovery_codes[:4])
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert (await user.client.get(FACTORS)).json()["recovery_codes"] == 9


async def test_a_wrong_code_does_not_end_the_log_in(world: World) -> None:
    user = await secured(world)
    challenge = await user.challenge()
    wrong = await complete(world.anonymous(), challenge, wrong_code(user.secret))
    assert_problem(wrong, 401, ProblemType.WRONG_CODE)
    right = await complete(world.anonymous(), challenge, code_of(user.secret))
    assert right.status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE login_challenges SET expires_at = now() WHERE user_id = %(id)s",
        "UPDATE users SET enabled = false WHERE id = %(id)s",
        "UPDATE users SET password_hash = %(hash)s WHERE id = %(id)s",
        "DELETE FROM users WHERE id = %(id)s",
    ],
    ids=["expired", "user disabled", "password changed", "user deleted"],
)
async def test_a_challenge_ends_with_what_it_stands_on(world: World, change: str) -> None:
    user = await secured(world)
    challenge = await user.challenge()
    await world.sql(change, id=user.id, hash=hash_password("another password"))
    answer = await complete(world.anonymous(), challenge, code_of(user.secret))
    assert_problem(answer, 401, ProblemType.UNAUTHENTICATED)


@pytest.mark.parametrize("challenge", ["x", "0" * 43, "é", "\0", " "])
async def test_an_invented_challenge_is_refused(world: World, challenge: str) -> None:
    answer = await complete(world.anonymous(), challenge, "000000")
    assert_problem(answer, 401, ProblemType.UNAUTHENTICATED)


@pytest.mark.parametrize("code", ["0", "\0", "0" * 64, "é" * 6, "२८७०८२", "12345\n", "-- --"])
async def test_a_malformed_code_is_wrong(world: World, code: str) -> None:
    user = await secured(world)
    answer = await complete(world.anonymous(), await user.challenge(), code)
    assert_problem(answer, 401, ProblemType.WRONG_CODE)


async def test_guessing_codes_is_limited_per_place_and_per_account(world: World) -> None:
    user = await secured(world)
    wrong = wrong_code(user.secret)
    statuses = []
    for number in range(13):
        address = f"198.51.100.{number // 6}"
        challenge = await user.challenge(f"203.0.113.{number}")
        answer = await complete(world.anonymous(), challenge, wrong, address)
        statuses.append(answer.status_code)
    assert statuses == [401] * 5 + [429] + [401] * 5 + [429] * 2
    # A new challenge and the right code from elsewhere do not help.
    fresh = await user.challenge("203.0.113.99")
    limited = await complete(world.anonymous(), fresh, await user.fresh(), "198.51.100.77")
    assert 1 <= int(limited.headers["Retry-After"]) <= 901
    assert_problem(limited, 429, ProblemType.TOO_MANY_ATTEMPTS)

    # The browser that has logged in before is not locked out.
    own = await user.challenge("203.0.113.98", user.client)
    assert (await complete(user.client, own, await user.fresh())).status_code == 200


async def test_guesses_at_the_same_time_do_not_exceed_the_limit(world: World) -> None:
    user = await secured(world)
    challenge, wrong = await user.challenge(), wrong_code(user.secret)
    answers = await asyncio.gather(
        *(complete(world.anonymous(), challenge, wrong, "192.0.2.77") for _ in range(12))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) == 5
    assert statuses.count(429) == 7


async def test_a_stolen_session_does_not_guess_the_password_or_a_code(world: World) -> None:
    user = await secured(world)
    url, wrong = f"{FACTORS}/totp/removal", wrong_code(user.secret)
    statuses = [
        (await user.client.post(url, json=body)).status_code
        for body in [{"password": "wrong"}, {"code": wrong}] * 3
    ]
    assert statuses == [422] * 5 + [429]
    assert_problem(await user.client.post(url, json={"password": PASSWORD}), 429)
    renewal = await user.client.post(f"{FACTORS}/recovery-codes", json={"code": wrong})
    assert_problem(renewal, 429)
    assert (await user.client.get(FACTORS)).json()["totp"] is not None


async def test_the_password_alone_gives_nothing(world: World) -> None:
    user, thief = await secured(world), world.anonymous()
    challenge = await user.challenge(client=thief)
    assert list(thief.cookies) == []
    for token in (challenge, f"Bearer {challenge}"):
        answer = await thief.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert_problem(answer, 401)
    thief.cookies.set("flotilla_session", challenge)
    assert_problem(await thief.post("/auth/refresh"), 401)


async def test_nobody_sees_or_changes_the_factor_of_another_user(world: World) -> None:
    user, admin = await secured(world), await world.user("admin")
    assert (await admin.get(FACTORS)).json() == {"totp": None, "recovery_codes": 0}
    removal = await admin.post(f"{FACTORS}/totp/removal", json={"password": PASSWORD})
    assert_problem(removal, 422)
    assert (await user.client.get(FACTORS)).json()["totp"] is not None


async def test_a_disabled_user_gets_no_challenge(world: World) -> None:
    user = await secured(world)
    await world.sql("UPDATE users SET enabled = false WHERE id = %(id)s", id=user.id)
    login = {"username": user.name, "password": PASSWORD}
    answer = await world.anonymous().post("/auth/login", json=login)
    assert_problem(answer, 401, ProblemType.WRONG_CREDENTIALS)


async def test_a_log_in_while_the_factor_is_turned_on_leaves_no_session_behind(
    world: World,
) -> None:
    for _ in range(3):
        client = await world.user("member")
        name = (await client.get("/auth/me")).json()["username"]
        secret = (await enrolment(client))["secret"]
        login = {"username": name, "password": PASSWORD}
        confirming = client.post(f"{FACTORS}/totp/confirmation", json={"code": code_of(secret)})
        browsers = [world.anonymous() for _ in range(4)]
        done, *_ = await asyncio.gather(
            confirming, *(browser.post("/auth/login", json=login) for browser in browsers)
        )
        assert done.status_code == 200, done.text
        refreshed = [(await browser.post("/auth/refresh")).status_code for browser in browsers]
        assert refreshed == [401] * 4
