"""Documents of the Docker engine, read without aiodocker.

The collector asks for two documents every few seconds. aiodocker, which commands use, takes 6 MB.
"""

import asyncio
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_LIMIT = 64 * 1024 * 1024  # bytes
BLOCK = 64 * 1024  # bytes
OK = 200


class EngineAnswerError(Exception):
    """The engine answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.message = message


class EngineReader:
    """Reads from the engine behind a Unix socket."""

    def __init__(self, socket: Path, *, timeout: float | None) -> None:
        """Bound each call as a whole to `timeout` seconds.

        Raises:
            OSError: The socket does not exist.
        """
        if not socket.is_socket():
            raise OSError(f"there is no socket {socket}")
        self._socket = socket
        self._timeout = timeout

    async def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Return a JSON document.

        Raises:
            EngineAnswerError: The engine refuses.
            OSError: The engine does not answer, or not as documented.
        """
        query = urllib.parse.urlencode(parameters)
        answer = await asyncio.wait_for(self._ask(f"/{path}?{query}"), self._timeout)
        head, _, body = answer.partition(b"\r\n\r\n")
        try:
            status = int(head.split(maxsplit=2)[1])
            document = json.loads(body)
        except (IndexError, ValueError):
            raise OSError("the engine did not answer with a JSON document") from None
        if status != OK:
            message = document.get("message", "") if isinstance(document, dict) else ""
            raise EngineAnswerError(status, str(message))
        return document

    async def _ask(self, target: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            # To this version the engine answers without chunks, and then closes the connection.
            writer.write(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = bytearray()
            while block := await reader.read(BLOCK):
                answer += block
                if len(answer) > ANSWER_LIMIT:
                    raise OSError(f"the answer of the engine has more than {ANSWER_LIMIT} bytes")
            return bytes(answer)
        finally:
            writer.close()
