"""Connections over TLS to a server whose certificate a given authority signed."""

import asyncio
import asyncio.sslproto
import socket
import ssl

from agent.rpc import proxy
from agent.rpc.call import Call
from agent.rpc.status import RpcError, Status

# asyncio reserves four times as much for what a connection receives.
asyncio.sslproto.SSLProtocol.max_size = 64 * 1024
NEXT_ADDRESS = 0.25  # seconds after which the next address of a name is tried as well


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of "host:port" or "[IPv6]:port".

    Raises:
        RpcError: There is no port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise RpcError(Status.UNAVAILABLE, f"{address} is not an address with a port.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def tls_context(ca_certificate: str) -> ssl.SSLContext:
    """Return a context that trusts this certificate (PEM) alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The certificate is trusted even if another authority signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=ca_certificate)
    context.set_alpn_protocols(["h2"])
    return context


async def open_call(
    address: str, ca_certificate: str, path: str, *, timeout: float | None = None
) -> Call:
    """Connect and begin the call of this path. The server gives it up after `timeout` seconds.

    Raises:
        RpcError: UNAVAILABLE, if there is no connection or the certificate is not trusted.
    """
    host, port = split_address(address)
    tunnel: socket.socket | None = None
    try:
        context = tls_context(ca_certificate)
        loop = asyncio.get_running_loop()
        if via := proxy.find(host):
            tunnel = await proxy.connect(via, host, port)
            transport, call = await loop.create_connection(
                lambda: Call(address, path, timeout=timeout),
                sock=tunnel,
                ssl=context,
                server_hostname=host,
            )
        else:
            transport, call = await loop.create_connection(
                lambda: Call(address, path, timeout=timeout),
                host,
                port,
                ssl=context,
                happy_eyeballs_delay=NEXT_ADDRESS,
            )
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        if tunnel:
            tunnel.close()
        raise RpcError(
            Status.UNAVAILABLE, f"There is no connection to {address}: {error}."
        ) from None
    tls = transport.get_extra_info("ssl_object")
    if tls.selected_alpn_protocol() != "h2":
        await call.close()
        raise RpcError(Status.UNAVAILABLE, f"The server at {address} does not speak HTTP/2.")
    return call
