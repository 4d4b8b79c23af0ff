"""Live data over WebSockets."""

import asyncio
from contextlib import suppress
from functools import partial

from litestar import websocket
from litestar.exceptions import WebSocketDisconnect

from services.gateway.context import UseContext
from services.gateway.fleet.live_hub import Viewer
from services.gateway.realtime.admission import SEND_TIMEOUT, Socket, close, relay, rule
from services.gateway.servers.access import OwnedServer
from services.kit.access import Action, allow


@websocket("/fleet/realtime", opt=rule(Action.FLEET_READ))
async def fleet_realtime(socket: Socket, context: UseContext) -> None:
    actor = socket.user

    def visible(vps_id: str) -> bool:
        server = context.live.servers.get(vps_id)
        if server is None:
            return False
        return allow(actor, Action.VPS_READ, server.object)

    await socket.accept()
    with context.live.viewing(visible, with_detail=False) as viewer:
        await _relay(socket, viewer)


@websocket("/vps/{vps_id:uuid}/metrics/realtime", opt=rule(Action.VPS_READ))
async def vps_realtime(socket: Socket, server: OwnedServer, context: UseContext) -> None:
    wanted = str(server.id)
    await socket.accept()
    with context.live.viewing(lambda vps_id: vps_id == wanted, with_detail=True) as viewer:
        await _relay(socket, viewer)


async def _relay(socket: Socket, viewer: Viewer) -> None:
    """Send what arrives until the viewer leaves or its login session ends."""
    code = await relay(socket, partial(_send, socket, viewer), partial(_receive, socket))
    await close(socket, code)


async def _send(socket: Socket, viewer: Viewer) -> None:
    with suppress(WebSocketDisconnect, TimeoutError):
        while True:
            for message in await viewer.collect():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await socket.send_text(message.decode())


async def _receive(socket: Socket) -> None:
    # Viewers send nothing; this notices when they leave.
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_data("text")
