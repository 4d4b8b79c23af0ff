"""Open requests end within seconds when their caller loses the right, on every gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import websockets

from tests.fixtures import programs, runs
from tests.fixtures.terminals import screen
from tests.fixtures.waiting import until
from tests.fixtures.world import World

LARGE = 64 * 1024 * 1024  # bytes; far more than connections buffer
SECONDS = 5.0  # within which each open request must end
LOGGED_OUT = 4401

Door = Callable[[], Awaitable[Any]]
"""Waits until an open request has ended, and checks how."""


class Host:
    """A real agent that allows everything, and its owner."""

    def __init__(self, user: httpx.AsyncClient, vps_id: str, root: Path) -> None:
        self.user = user
        self.vps_id = vps_id
        self.root = root


@pytest_asyncio.fixture(loop_scope="session")
async def host(world: World, tmp_path: Path) -> AsyncIterator[Host]:
    root = tmp_path / "root"
    root.mkdir()
    user = await world.user("member")
    vps_id, program = await programs.enrolled_agent(
        *(user, tmp_path / "agent"),
        policy=f'shell = true\ncommands = true\nfiles = "write"\nfile_roots = ["{root}"]\n',
        authority=world.certificates / "ca.pem",
        command_key=world.command_key,
    )
    with (root / "large").open("wb") as file:
        file.truncate(LARGE)
    yield Host(user, vps_id, root)
    program.kill()


class Doors:
    """One open request of each kind, all on one gateway."""

    def __init__(self, host: Host, client: httpx.AsyncClient) -> None:
        self._host = host
        self._client = client
        self._ws = str(client.base_url).replace("http", "ws", 1).rstrip("/")
        self._files = f"/vps/{host.vps_id}/files"

    async def open_all(self, stack: AsyncExitStack) -> dict[str, Door]:
        return {
            "live feed": await self._live(stack, "fleet/realtime"),
            "live server": await self._live(stack, f"vps/{self._host.vps_id}/metrics/realtime"),
            "terminal": await self._terminal(stack),
            "run": await self._run(stack),
            "download": await self._download(stack),
            "upload": await self._upload(stack),
        }

    async def _live(self, stack: AsyncExitStack, resource: str) -> Door:
        made = await self._client.post("/ws-tickets", json={"resource": resource})
        socket = await stack.enter_async_context(
            websockets.connect(f"{self._ws}/{resource}?ticket={made.json()['ticket']}")
        )

        async def closed() -> None:
            with suppress(websockets.ConnectionClosed):
                async for _ in socket:
                    pass
            assert socket.close_code == LOGGED_OUT

        return closed

    async def _terminal(self, stack: AsyncExitStack) -> Door:
        shown = await stack.enter_async_context(screen(self._ws, self._client, self._host.vps_id))
        await shown.frame(type="ready")

        async def closed() -> None:
            assert await shown.ended() == LOGGED_OUT

        return closed

    async def _run(self, stack: AsyncExitStack) -> Door:
        run = await runs.start(self._client, self._host.vps_id, script="echo began; sleep 60")
        lines = await stack.enter_async_context(runs.follow(self._client, run))
        await runs.until_line(lines, stream="stdout")

        async def closed() -> None:
            with pytest.raises(httpx.TransportError):
                async for _ in lines:
                    pass

        return closed

    async def _download(self, stack: AsyncExitStack) -> Door:
        path = {"path": str(self._host.root / "large")}
        answer = await stack.enter_async_context(
            self._client.stream("GET", f"{self._files}/download", params=path, timeout=30)
        )
        blocks = answer.aiter_raw()
        await anext(blocks)

        async def closed() -> None:
            # The client reads nothing until the right is lost, so most of the file is not sent yet.
            with pytest.raises(httpx.TransportError):
                async for _ in blocks:
                    pass

        return closed

    async def _upload(self, stack: AsyncExitStack) -> Door:
        async def slowly() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100_000
                await asyncio.sleep(0.05)

        path = {"path": str(self._host.root / "sent")}
        sending = asyncio.ensure_future(
            self._client.put(f"{self._files}/upload", params=path, content=slowly())
        )
        stack.callback(sending.cancel)
        drafts = self._host.root
        await until(lambda: any(".part" in entry.name for entry in drafts.iterdir()))

        async def closed() -> None:
            try:
                answer = await sending
            except httpx.TransportError:
                return  # the connection was closed before the client read the answer
            assert answer.status_code == 401

        return closed


async def all_closed(doors: dict[str, Door]) -> None:
    for name, closed in doors.items():
        try:
            async with asyncio.timeout(SECONDS):
                await closed()
        except TimeoutError:
            pytest.fail(f"the {name} stays open")


async def lose(
    host: Host, world: World, action: Callable[[], Awaitable[Any]], client: httpx.AsyncClient
) -> None:
    async with AsyncExitStack() as stack:
        doors = await Doors(host, client).open_all(stack)
        other = await world.user("member")
        neighbour = await Doors(host, other)._live(stack, "fleet/realtime")
        await action()
        await all_closed(doors)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await neighbour()


async def name_of(user: httpx.AsyncClient) -> str:
    return str((await user.get("/auth/me")).json()["username"])


async def test_a_disabled_user_is_out_on_another_gateway_too(world: World, host: Host) -> None:
    name = await name_of(host.user)
    second = await runs.second_gateway(world, host.user, name="gateway-disabled")

    async def disable() -> None:
        await world.sql("UPDATE users SET enabled = false WHERE username = %(n)s", n=name)

    try:
        await lose(host, world, disable, second)
    finally:
        await world.stop("gateway-disabled")


async def test_a_demoted_operator_is_out_of_the_organisations_servers(
    world: World, host: Host
) -> None:
    operator = await world.colleague(host.user, "operator")
    name = await name_of(operator)

    async def demote() -> None:
        await world.sql(
            "UPDATE memberships SET role = 'viewer'"
            " WHERE user_id = (SELECT id FROM users WHERE username = %(n)s)",
            n=name,
        )

    await lose(host, world, demote, operator)


async def test_a_share_that_ends_closes_what_is_open(world: World, host: Host) -> None:
    guest = await world.user("member")
    share = {"username": await name_of(guest), "level": "operator"}
    made = await host.user.post(f"/vps/{host.vps_id}/shares", json=share)

    async def end() -> None:
        path = f"/vps/{host.vps_id}/shares/{made.json()['user_id']}"
        assert (await host.user.delete(path)).status_code == 204

    async with AsyncExitStack() as stack:
        doors = await Doors(host, guest).open_all(stack)
        fleet = doors.pop("live feed")
        await end()
        await all_closed(doors)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await fleet()


async def test_who_logs_out_is_out_everywhere(world: World, host: Host) -> None:
    async def log_out() -> None:
        assert (await host.user.post("/auth/logout")).status_code == 204

    await lose(host, world, log_out, host.user)


async def test_a_deleted_server_has_no_open_request(world: World, host: Host) -> None:
    async with AsyncExitStack() as stack:
        doors = await Doors(host, host.user).open_all(stack)
        fleet = doors.pop("live feed")
        assert (await host.user.delete(f"/vps/{host.vps_id}")).status_code == 204
        await all_closed(doors)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await fleet()


async def test_who_never_had_the_right_gets_the_answer_of_the_check(
    world: World, host: Host
) -> None:
    """Many uploads run, so some of them wait for their check while the gateway looks for lost rights."""
    other = await world.user("member")

    async def upload() -> int:
        answer = await other.put(
            f"/vps/{host.vps_id}/files/upload", params={"path": "/srv/f"}, content=b"x"
        )
        return answer.status_code

    for _ in range(10):
        assert set(await asyncio.gather(*(upload() for _ in range(10)))) <= {404, 429}
