import asyncio
from contextlib import AsyncExitStack

import pytest

from services.ingest.edge import handshakes
from services.ingest.edge.errors import IntakeError, Reason
from services.ingest.edge.handshakes import Handshakes, listen_address, network, peer_address
from tests.fixtures.waiting import until


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:443", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:443", "192.0.2.1"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_the_address_is_read_from_grpcs_peer_string(peer: str, address: str) -> None:
    assert peer_address(peer) == address


def test_a_host_is_counted_by_its_address_or_by_its_ipv6_network() -> None:
    assert network("ipv4:192.0.2.1:443") == "192.0.2.1"
    assert network("ipv6:%5B2001:db8::1%5D:443") == network("ipv6:%5B2001:db8::ff:2%5D:9")
    assert network("ipv6:%5B2001:db8::1%5D:443") != network("ipv6:%5B2001:db8:0:1::1%5D:443")
    assert network("ipv6:%5Bfe80::1%25eth0%5D:443")
    assert network("unix:") == ""


def test_a_listener_takes_ipv6_addresses() -> None:
    assert listen_address("::", 8443) == "[::]:8443"
    assert listen_address("0.0.0.0", 8443) == "0.0.0.0:8443"


async def held(
    limits: Handshakes, stack: AsyncExitStack, address: str, count: int
) -> list[handshakes.Handshake]:
    return [
        await stack.enter_async_context(limits.limited(f"ipv4:{address}:{port}"))
        for port in range(count)
    ]


async def test_a_connection_has_few_places() -> None:
    limits = Handshakes(5.0)
    async with AsyncExitStack() as stack:
        for _ in range(handshakes.PLACES_PER_CONNECTION):
            await stack.enter_async_context(limits.limited("ipv4:192.0.2.1:443"))
        with pytest.raises(IntakeError, match="This connection has 4") as refused:
            await stack.enter_async_context(limits.limited("ipv4:192.0.2.1:443"))
        assert refused.value.reason is Reason.BUSY
        await stack.enter_async_context(limits.limited("ipv4:192.0.2.1:444"))
    async with limits.limited("ipv4:192.0.2.1:443"):
        pass


async def test_an_address_has_a_limit_that_leaves_the_others_their_places() -> None:
    limits = Handshakes(5.0)
    async with AsyncExitStack() as stack:
        await held(limits, stack, "192.0.2.1", handshakes.PLACES_PER_ADDRESS)
        with pytest.raises(IntakeError, match="This address has 1024"):
            await stack.enter_async_context(limits.limited("ipv4:192.0.2.1:9999"))
        await stack.enter_async_context(limits.limited("ipv4:192.0.2.2:9999"))


async def test_where_all_places_are_taken_the_largest_holder_gives_way() -> None:
    limits = Handshakes(5.0)
    waiting = asyncio.Event()

    async def hold(peer: str) -> None:
        async with limits.limited(peer):
            await waiting.wait()

    tasks = [
        asyncio.create_task(hold(f"ipv4:192.0.2.{1 + n % 2}:{n}")) for n in range(handshakes.PLACES)
    ]
    await asyncio.sleep(0)
    async with limits.limited("ipv4:198.51.100.1:1"):
        ended, _ = await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    (gone,) = ended
    assert isinstance(gone.exception(), IntakeError)
    waiting.set()
    await asyncio.gather(*(task for task in tasks if task is not gone))


async def test_the_timeout_starts_with_the_turn_and_ends_with_the_message() -> None:
    limits = Handshakes(0.05)

    async with limits.limited("ipv4:192.0.2.1:443") as own:
        await asyncio.sleep(0.1)
        assert await own.first_message(hello) == "hello"
        await asyncio.sleep(0.1)
    with pytest.raises(IntakeError) as late:
        await never_answered(limits, "ipv4:192.0.2.1:443")
    assert late.value.reason is Reason.HANDSHAKE_LATE


async def test_few_messages_are_awaited_and_the_largest_address_gives_way() -> None:
    limits = Handshakes(60.0)
    silent = [
        asyncio.create_task(never_answered(limits, f"ipv4:192.0.2.1:{port}"))
        for port in range(handshakes.AWAITED)
    ]
    await until(lambda: len(limits.awaited) == handshakes.AWAITED, otherwise="some had no turn")

    async with limits.limited("ipv4:192.0.2.2:443") as own:
        assert await own.first_message(hello) == "hello"
        ended, _ = await asyncio.wait(silent, timeout=5, return_when=asyncio.FIRST_COMPLETED)

    assert ended == {silent[0]}
    error = silent[0].exception()
    assert isinstance(error, IntakeError)
    assert error.reason is Reason.BUSY
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)


async def hello() -> str:
    return "hello"


async def never_answered(limits: Handshakes, peer: str) -> None:
    async with limits.limited(peer) as own:
        await own.first_message(asyncio.Event().wait)
