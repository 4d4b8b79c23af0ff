"""E-mail over SMTP, with the connection of the outbound gate."""

import asyncio
import smtplib
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from services.alerting.notify import gate, http_request
from services.alerting.notify.errors import NotDeliveredError
from services.alerting.notify.message import Message

TIMEOUT = 30.0  # seconds for one message
STEP_TIMEOUT = 10.0  # seconds for each answer of the server


class _Smtp(smtplib.SMTP):
    """SMTP over a socket that is connected already."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._connection = connection
        # Not the name of this host, which the mail would reveal.
        super().__init__(host, local_hostname="flotilla", timeout=STEP_TIMEOUT)

    def _get_socket(self, *_: object) -> socket.socket:
        return self._connection


async def send(config: Mapping[str, Any], message: Message, allowed: Collection[str]) -> None:
    """Raises: UndeliverableError, NotDeliveredError: see `channels.send`."""
    host, port = config["host"], config["port"]
    connection = await gate.connect(host, port, allowed=allowed)
    connection.settimeout(STEP_TIMEOUT)
    work = asyncio.ensure_future(
        asyncio.to_thread(_send, connection, config, _letter(config, message))
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.shield(work)
    except TimeoutError:
        raise NotDeliveredError(f"{host} port {port} took too long.") from None
    except smtplib.SMTPResponseException as error:
        raise NotDeliveredError(f"The server refused the message ({error.smtp_code}).") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotDeliveredError(
            f"{host} port {port} did not take the message ({type(error).__name__})."
        ) from None
    finally:
        # Also ends the thread, which waits for an answer on this socket.
        _close(connection)
        await asyncio.wait({work}, timeout=1)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _letter(config: Mapping[str, Any], message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = " ".join(message.title.split())[:200]
    letter["From"] = Address("Flotilla", addr_spec=config["from"])
    letter["To"] = [Address(addr_spec=address) for address in config["to"]]
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain="flotilla.invalid")
    letter.set_content(message.text)
    return letter


def _send(connection: socket.socket, config: Mapping[str, Any], letter: EmailMessage) -> None:
    if config["tls"] == "implicit":
        connection = http_request.tls().wrap_socket(connection, server_hostname=config["host"])
    with _Smtp(connection, config["host"]) as smtp:
        if config["tls"] == "starttls":
            smtp.starttls(context=http_request.tls())
        if config.get("username"):
            smtp.login(config["username"], config.get("password") or "")
        smtp.send_message(letter)
