import asyncio

import pytest

from services.gateway.accounts import passwords
from services.gateway.accounts.passwords import Turns, password_matches
from services.gateway.api.errors import RequestError
from services.gateway.api.problem_types import ProblemType


@pytest.mark.parametrize("is_known", [True, False])
async def test_passwords_are_compared_by_their_hash(is_known: bool) -> None:
    hashed = passwords.hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$")
    for password, password_hash, matches in (
        ("correct horse battery", hashed, True),
        ("wrong", hashed, False),
        ("wrong", None, False),
        ("wrong", "not a hash", False),
    ):
        checked = password_matches(password, password_hash, is_known=is_known, attempts=1)
        assert await checked is matches


async def test_a_flood_of_guesses_delays_no_known_browser() -> None:
    flood = [
        asyncio.create_task(password_matches("wrong", None, is_known=False, attempts=1))
        for _ in range(passwords.WAITING)
    ]
    await asyncio.sleep(0)
    await password_matches("wrong", None, is_known=True, attempts=1)
    assert not all(task.done() for task in flood)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_fewer_attempts_come_first_and_too_many_log_ins_are_refused() -> None:
    turns = Turns()
    order: list[int] = []

    async def log_in(attempts: int) -> None:
        async with turns.turn(attempts):
            order.append(attempts)

    async with turns.turn(0):
        tasks = [asyncio.create_task(log_in(n)) for n in range(passwords.WAITING + 1, 1, -1)]
        await asyncio.sleep(0)
        newcomer = asyncio.create_task(log_in(1))
        with pytest.raises(RequestError) as refused:
            await tasks[0]
        assert refused.value.type is ProblemType.BUSY
    await asyncio.gather(newcomer, *tasks[1:])
    assert order == list(range(1, passwords.WAITING + 1))


async def test_a_log_in_that_is_given_up_passes_its_turn_on() -> None:
    turns = Turns()
    done = asyncio.Event()

    async def log_in() -> None:
        async with turns.turn(1):
            done.set()

    async with turns.turn(1):
        given_up = [asyncio.create_task(log_in()) for _ in range(2)]
        await asyncio.sleep(0)
        given_up[1].cancel()
        await asyncio.sleep(0)
    given_up[0].cancel()  # at the moment at which its turn has come
    await asyncio.gather(*given_up, return_exceptions=True)
    await asyncio.wait_for(log_in(), 5)
    assert done.is_set()


async def test_a_log_in_that_is_given_up_as_its_turn_comes_harms_no_other() -> None:
    turns = Turns()

    async def log_in() -> None:
        async with turns.turn(1):
            pass

    async with turns.turn(1):
        given_up, other = (asyncio.create_task(log_in()) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
    await asyncio.wait_for(other, 5)
    assert given_up.cancelled() or await asyncio.gather(given_up, return_exceptions=True)
    await asyncio.wait_for(log_in(), 5)


async def test_a_log_in_waits_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING_SECONDS", 0.05)
    turns = Turns()
    async with turns.turn(1):
        with pytest.raises(RequestError) as refused:
            async with turns.turn(1):
                pass
    assert refused.value.type is ProblemType.BUSY
    async with turns.turn(1):
        pass
