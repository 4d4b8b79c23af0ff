"""Second factors: turn on, log in, recover, turn off."""

import asyncio
import base64
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

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
from tests.fixtures.waiting import until
from tests.fixtures.world import PASSWORD, World
from tests.integration.cli.test_command_key import flotilla


async def test_a_log_in_with_a_second_factor(world: World) -> None:
    user, browser = await secured(world), world.anonymous()
    first = await browser.post("/auth/login", json={"username": user.name, "password": PASSWORD})

    problem = assert_problem(first, 401, ProblemType.SECOND_FACTOR_REQUIRED)
    assert problem["expires_in"] == 300
    assert "Set-Cookie" not in first.headers
    assert "access_token" not in first.text
    assert_problem(await browser.post("/auth/refresh"), 401)

    answer = await complete(browser, problem["challenge"], code_of(user.secret))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["username"] == user.name
    assert set(browser.cookies) == {"flotilla_session", "flotilla_device"}
    assert (await browser.post("/auth/refresh")).status_code == 200
    browser.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    state = (await browser.get(FACTORS)).json()
    assert state["totp"]["confirmed_at"]
    assert state == {"totp": state["totp"], "recovery_codes": 10}


async def test_the_secret_is_shown_once_as_text_address_and_picture(world: World) -> None:
    client = await world.user("member")
    assert (await client.get(FACTORS)).json() == {"totp": None, "recovery_codes": 0}
    made = await enrolment(client)
    assert made["secret"] in made["uri"]
    assert made["uri"].startswith("otpauth://totp/Flotilla%3A")
    assert ET.fromstring(made["qr_svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    # It does not count before a code confirms it, and can be begun again with another secret.
    assert (await client.get(FACTORS)).json() == {"totp": None, "recovery_codes": 0}
    name = (await client.get("/auth/me")).json()["username"]
    login = await client.post("/auth/login", json={"username": name, "password": PASSWORD})
    assert login.status_code == 200
    again = await enrolment(client)
    assert again["secret"] != made["secret"]
    confirmation = f"{FACTORS}/totp/confirmation"
    assert_problem(await client.post(confirmation, json={"code": code_of(made["secret"])}), 422)
    done = await client.post(confirmation, json={"code": code_of(again["secret"])})
    assert len(done.json()["codes"]) == 10
    assert_problem(
        await client.post(f"{FACTORS}/totp", json={"password": PASSWORD}),
        409,
        ProblemType.LIMIT_REACHED,
    )
    assert "secret" not in (await client.get(FACTORS)).text


async def test_the_database_holds_neither_the_seed_nor_a_code(world: World) -> None:
    user = await secured(world)
    rows = await world.sql(
        "SELECT to_jsonb(f)::text FROM totp_factors f WHERE user_id = %(id)s"
        " UNION ALL SELECT to_jsonb(c)::text FROM recovery_codes c WHERE user_id = %(id)s",
        id=user.id,
    )
    stored = " ".join(row for (row,) in rows)
    assert base64.b32decode(user.secret).hex() not in stored
    for hidden in (user.secret, *user.recovery_codes):
        assert hidden not in stored
    assert len(rows) == 11


async def test_turning_it_on_needs_the_password_and_ends_the_other_sessions(world: World) -> None:
    client, other = await world.user("member"), world.anonymous()
    name = (await client.get("/auth/me")).json()["username"]
    await other.post("/auth/login", json={"username": name, "password": PASSWORD})
    wrong = await client.post(f"{FACTORS}/totp", json={"password": "not the password"})
    assert assert_problem(wrong, 422)["errors"][0]["field"] == "password"

    secret = (await enrolment(client))["secret"]
    await client.post(f"{FACTORS}/totp/confirmation", json={"code": code_of(secret)})

    assert (await client.get("/auth/me")).status_code == 200
    assert_problem(await other.post("/auth/refresh"), 401)


async def test_an_enrolment_expires(world: World) -> None:
    client = await world.user("member")
    secret = (await enrolment(client))["secret"]
    user_id = (await client.get("/auth/me")).json()["id"]
    await world.sql(
        "UPDATE totp_factors SET created_at = now() - interval '16 min' WHERE user_id = %(id)s",
        id=user_id,
    )
    late = await client.post(f"{FACTORS}/totp/confirmation", json={"code": code_of(secret)})
    assert "Begin again" in assert_problem(late, 422)["detail"]


async def test_a_recovery_code_logs_in_once(world: World) -> None:
    user, browser = await secured(world), world.anonymous()
    code = user.recovery_codes[3]
    answer = await complete(browser, await user.challenge(), f" {code.upper().replace('-', ' ')}")
    assert answer.status_code == 200, answer.text
    browser.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    assert (await browser.get(FACTORS)).json()["recovery_codes"] == 9

    again = await complete(world.anonymous(), await user.challenge(), code)
    assert_problem(again, 401, ProblemType.WRONG_CODE)


async def test_new_recovery_codes_replace_the_old_ones(world: World) -> None:
    user = await secured(world)
    url = f"{FACTORS}/recovery-codes"
    assert_problem(await user.client.post(url, json={"password": PASSWORD}), 422)
    assert_problem(await user.client.post(url, json={"code": wrong_code(user.secret)}), 422)
    renewed = (await user.client.post(url, json={"code": code_of(user.secret)})).json()["codes"]
    assert not set(renewed) & set(user.recovery_codes)

    old = await complete(world.anonymous(), await user.challenge(), user.recovery_codes[0])
    assert_problem(old, 401, ProblemType.WRONG_CODE)
    new = await complete(world.anonymous(), await user.challenge(), renewed[0])
    assert new.status_code == 200


@pytest.mark.parametrize("proof", ["password", "code", "recovery code"])
async def test_it_is_turned_off_with_the_password_or_a_code(world: World, proof: str) -> None:
    user = await secured(world)
    body = {
        "password": {"password": PASSWORD},
        "code": {"code": code_of(user.secret)},
        "recovery code": {"code": user.recovery_codes[0]},
    }[proof]
    pending = await user.challenge()
    url = f"{FACTORS}/totp/removal"
    for wrong in ({"password": "wrong"}, {"code": wrong_code(user.secret)}, {}, {**body, "x": 1}):
        assert_problem(await user.client.post(url, json=wrong), 422)
    both = {"password": PASSWORD, "code": code_of(user.secret)}
    assert_problem(await user.client.post(url, json=both), 422)
    assert (await user.client.get(FACTORS)).json()["totp"] is not None

    assert (await user.client.post(url, json=body)).status_code == 204

    assert (await user.client.get(FACTORS)).json() == {"totp": None, "recovery_codes": 0}
    login = {"username": user.name, "password": PASSWORD}
    assert (await world.anonymous().post("/auth/login", json=login)).status_code == 200
    assert_problem(await complete(world.anonymous(), pending, code_of(user.secret, 1)), 401)
    assert_problem(await user.client.post(url, json={"password": PASSWORD}), 422)


async def test_an_operator_turns_it_off_and_ends_all_sessions(world: World, tmp_path: Path) -> None:
    user = await secured(world)
    pending = await user.challenge()
    environment = {"DATABASE_URL": world.database_url}
    words = ("user", "reset-factors", user.name)
    code, said = await flotilla(tmp_path, *words, **environment)
    assert (code, "is off, and all its sessions have ended" in said) == (0, True), said
    assert_problem(await user.client.get("/auth/me"), 401)
    assert_problem(await complete(world.anonymous(), pending, code_of(user.secret)), 401)
    login = {"username": user.name, "password": PASSWORD}
    assert (await world.anonymous().post("/auth/login", json=login)).status_code == 200
    code, said = await flotilla(tmp_path, *words, **environment)
    assert (code, "was off already" in said) == (0, True)
    code, said = await flotilla(tmp_path, "user", "reset-factors", "nobody", **environment)
    assert (code, "There is no user nobody" in said) == (1, True)

    entries = await audit_of(world, user.id)
    assert ("factor.reset", "operator", True) in entries


async def test_an_operator_sets_a_password_and_ends_all_sessions(
    world: World, tmp_path: Path
) -> None:
    user = await secured(world)
    pending = await user.challenge()
    environment = {"DATABASE_URL": world.database_url}
    file = tmp_path / "password"

    async def set_password(name: str, password: str) -> tuple[int, str]:
        file.write_text(f"{password}\n")
        words = ("user", "set-password", name, f"--password-file={file}")
        return await flotilla(tmp_path, *words, **environment)

    code, said = await set_password(user.name, "short")
    assert (code, "The password has 5 characters" in said) == (2, True), said
    assert (await user.client.get("/auth/me")).status_code == 200
    code, said = await set_password(user.name.upper(), "another horse battery staple")
    assert (code, "is set, and all its sessions have ended" in said) == (0, True), said

    assert_problem(await user.client.get("/auth/me"), 401)
    assert_problem(await complete(world.anonymous(), pending, code_of(user.secret)), 401)
    login = {"username": user.name, "password": PASSWORD}
    problem = assert_problem(await world.anonymous().post("/auth/login", json=login), 401)
    assert problem["type"] == ProblemType.WRONG_CREDENTIALS
    login["password"] = "another horse battery staple"
    problem = assert_problem(await world.anonymous().post("/auth/login", json=login), 401)
    assert problem["type"] == ProblemType.SECOND_FACTOR_REQUIRED  # it stays on
    code, said = await set_password("nobody", "another horse battery staple")
    assert (code, "There is no user nobody" in said) == (1, True), said
    assert ("password.reset", "operator", True) in await audit_of(world, user.id)


async def audit_of(world: World, user_id: str) -> list[tuple[str, str, bool]]:
    page = await (await world.user()).get(
        "/audit", params={"object": f"user:{user_id}", "limit": 1000}
    )
    return [(e["action"], e["actor"], e["allowed"]) for e in page.json()["items"]]


async def test_everything_is_audited_without_secrets(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    user = await secured(world)
    wrong, right = wrong_code(user.secret), code_of(user.secret)
    challenge = await user.challenge()
    await complete(world.anonymous(), challenge, wrong)
    await complete(world.anonymous(), challenge, right)
    await user.client.post(f"{FACTORS}/recovery-codes", json={"code": user.recovery_codes[0]})
    await user.client.post(f"{FACTORS}/totp/removal", json={"code": user.recovery_codes[1]})
    await user.client.post(f"{FACTORS}/totp/removal", json={"password": PASSWORD})
    me = f"user:{user.id}"

    expected = {
        ("factor.enrol", me, True),
        ("factor.confirm", me, True),
        ("session.challenge", "anonymous", True),
        ("session.login", "anonymous", False),
        ("recovery-codes.renew", me, True),
        ("factor.remove", me, False),
        ("factor.remove", me, True),
    }

    async def stored() -> bool:
        return expected <= set(await audit_of(world, user.id))

    await until(stored, otherwise="an entry is missing")
    admin = await world.user()
    everything = "".join(
        [
            (await admin.get("/audit", params={"limit": 1000})).text,
            (await admin.get("/audit", params={"actor": me, "limit": 1000})).text,
            *capfd.readouterr(),
        ]
    )
    assert "with a code" in everything
    for secret in (user.secret, challenge, *user.recovery_codes, PASSWORD):
        assert secret not in everything
    assert f'"{right}"' not in everything


async def test_two_log_ins_with_one_code_at_once_give_one_session(world: World) -> None:
    user = await secured(world)
    challenges = [await user.challenge() for _ in range(4)]
    code = code_of(user.secret)
    answers = await asyncio.gather(*(complete(world.anonymous(), one, code) for one in challenges))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
