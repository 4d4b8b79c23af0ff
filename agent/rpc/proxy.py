"""HTTP proxies that the environment names, as the libraries of gRPC use them.

`grpc_proxy`, `https_proxy` and `http_proxy` name the proxy, and `no_grpc_proxy` and `no_proxy` the
hosts that are reached without it: endings of names, and networks such as 10.0.0.0/8.
"""

import asyncio
import base64
import os
import socket
import urllib.parse

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy")
ANSWER_LIMIT = 8192  # bytes


def find(host: str) -> str:
    """Return the URL of the proxy to this host; nothing if it is reached without one."""
    found = next((value for name in PROXY_VARIABLES if (value := os.environ.get(name))), "")
    if not found:
        return ""
    exceptions = next(
        (value for name in EXCEPTION_VARIABLES if (value := os.environ.get(name))), ""
    )
    names = (name.strip() for name in exceptions.split(","))
    return "" if any(name and _covers(name, host) for name in names) else found


def _covers(exception: str, host: str) -> bool:
    if host.endswith(exception):
        return True
    if "/" not in exception:
        return False
    import ipaddress  # noqa: PLC0415  # only when it is used

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        return False


async def connect(url: str, host: str, port: int) -> socket.socket:
    """Return a connection through the proxy to the host.

    Raises:
        OSError: The proxy does not answer, or it refuses.
        ValueError: The URL is not that of an HTTP proxy.
    """
    proxy = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise ValueError("the proxy must be given as http://host:port")
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        account = f"{proxy.username}:{proxy.password or ''}"
        secret = base64.b64encode(urllib.parse.unquote(account).encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {secret}")
    connection = await _open(proxy.hostname, proxy.port or 80)
    try:
        request = "".join(f"{line}\r\n" for line in (*lines, ""))
        await asyncio.get_running_loop().sock_sendall(connection, request.encode())
        status = await _read_status(connection)
    except BaseException:
        connection.close()
        raise
    if status != b"200":
        connection.close()
        raise OSError(f"the proxy answered with the status {status.decode(errors='replace')}")
    return connection


async def _open(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError("the name of the proxy has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)  # noqa: FBT003  # its only parameter
        try:
            await loop.sock_connect(connection, place)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


async def _read_status(connection: socket.socket) -> bytes:
    """Read the answer byte by byte, because what follows belongs to TLS."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = await asyncio.get_running_loop().sock_recv(connection, 1)
        if not byte or len(answer) > ANSWER_LIMIT:
            raise OSError("the proxy did not answer as HTTP proxies do")
        answer += byte
    _, _, rest = answer.partition(b" ")
    return rest[:3]
