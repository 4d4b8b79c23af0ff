"""E-mail, against a server that speaks SMTP."""

import asyncio
from typing import Any

import pytest

from services.alerting.notify import channels
from services.alerting.notify.errors import NotDeliveredError, UndeliverableError
from services.alerting.notify.message import Message

MESSAGE = Message("Critical: 忙 on box", "The value is 97.5.", {})


class SmtpServer:
    """Accepts one message for each connection, or refuses the recipient."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.letters: list[str] = []
        self._refuses = refuses

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 stand-in\r\n")
        while line := (await reader.readline()).decode():
            word = line.split()[0].upper()
            if word == "DATA":
                writer.write(b"354 go on\r\n")
                lines = []
                while (text := (await reader.readline()).decode()) != ".\r\n":
                    lines.append(text)
                self.letters.append("".join(lines))
            if word == "RCPT" and self._refuses:
                writer.write(b"550 no such user\r\n")
            else:
                writer.write(
                    {"QUIT": b"221 bye\r\n", "EHLO": b"250 stand-in\r\n"}.get(word, b"250 ok\r\n")
                )
            if word == "QUIT":
                break
        writer.close()


async def sent(smtp: SmtpServer, *, listed: bool = True) -> None:
    server = await asyncio.start_server(smtp.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "username": None,
        "from": "flotilla@example.com",
        "to": ["a@example.com", "b@example.com"],
    }
    try:
        await channels.send("email", config, MESSAGE, {f"127.0.0.1:{port}"} if listed else set())
    finally:
        server.close()
        await server.wait_closed()


async def test_a_message_is_sent_once_with_its_headers() -> None:
    smtp = SmtpServer()
    await sent(smtp)
    (letter,) = smtp.letters
    assert "From: Flotilla <flotilla@example.com>" in letter
    assert "To: a@example.com, b@example.com" in letter
    assert "Subject: Critical: =?utf-8?" in letter
    assert "The value is 97.5." in letter


async def test_a_refused_recipient_is_not_delivered() -> None:
    with pytest.raises(NotDeliveredError):
        await sent(SmtpServer(refuses=True))


async def test_the_gate_refuses_a_server_that_is_not_listed() -> None:
    smtp = SmtpServer()
    with pytest.raises(UndeliverableError):
        await sent(smtp, listed=False)
    assert smtp.letters == []
