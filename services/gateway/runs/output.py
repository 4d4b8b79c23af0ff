"""Decoder of a script's output: turns the parts of the agent's answer into text."""

import codecs
from dataclasses import dataclass
from typing import Literal

from flotilla.v1.command_pb2 import CommandResponse
from services.kit.agents.commands import MAX_OUTPUT

Stream = Literal["stdout", "stderr"]

_new_decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Text:
    stream: Stream
    data: str
    read: int
    """Number of bytes of the stream from its start to the end of `data`."""


class OutputReader:
    """Decoder that returns each byte of the output once, even if the agent repeats its answer.

    An agent that receives the command again answers from the start. `stdout_read` and
    `stderr_read` are the numbers of bytes of each stream that were read before.
    """

    def __init__(self, *, stdout_read: int = 0, stderr_read: int = 0) -> None:
        self.truncated = False
        self._taken: dict[Stream, int] = {"stdout": stdout_read, "stderr": stderr_read}
        self._room = MAX_OUTPUT - stdout_read - stderr_read  # bytes
        # A part may end in the middle of a character.
        self._decoders = {stream: _new_decoder("replace") for stream in self._taken}
        self._to_skip = dict(self._taken)

    def restart(self) -> None:
        """Prepare for a repeated answer that starts from the beginning."""
        self._to_skip = dict(self._taken)

    def take(self, part: CommandResponse) -> list[Text]:
        """Return the text of this part that was not read before."""
        self.truncated |= part.truncated
        # After a broken connection or a refusal the command may be sent again, so the decoders
        # keep their state.
        broke_off = part.failure == CommandResponse.FAILURE_DISCONNECTED
        refused = part.status == CommandResponse.STATUS_REFUSED
        final = part.last and not (refused or broke_off)
        texts = (
            self._take("stdout", part.stdout, final=final),
            self._take("stderr", part.stderr, final=final),
        )
        return [text for text in texts if text.data]

    def _take(self, stream: Stream, data: bytes, *, final: bool) -> Text:
        known = min(len(data), self._to_skip[stream])
        self._to_skip[stream] -= known
        data = data[known:]
        if len(data) > self._room:
            self.truncated = True
            data = data[: self._room]
        self._room -= len(data)
        self._taken[stream] += len(data)
        decoder = self._decoders[stream]
        # Drop a character that the limit cut in two.
        text = decoder.decode(data, final=final and not self.truncated)
        held_back = len(decoder.getstate()[0])
        # The type `text` of PostgreSQL cannot hold NUL.
        return Text(stream, text.replace("\0", "\ufffd"), self._taken[stream] - held_back)
