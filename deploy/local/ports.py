from __future__ import annotations

import errno
import socket

import psutil

from deploy.local.settings import Settings
from deploy.local.waiting import StackError


def refuse_busy(settings: Settings) -> None:
    public, private = settings.values["FLOTILLA_BIND"], "127.0.0.1"
    wanted = {"HTTP": public, "GRPC": public, "NATS": private}
    if settings.own_database:
        wanted["PG"] = private
    busy = [
        f"Port {settings.port(name)} is used by {_holder(settings.port(name))}."
        f" Stop it, or set FLOTILLA_{name}_PORT."
        for name, host in wanted.items()
        if _is_busy(host, settings.port(name))
    ]
    if busy:
        raise StackError("\n".join(busy))


def _is_busy(host: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise StackError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
    return False


def _holder(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid is not None:
            return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
