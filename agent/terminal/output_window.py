class OutputWindow:
    """Output of a session, kept until its owner acknowledges it.

    Offsets count from the start of the session: `acknowledged` <= `sent` <= `end`.
    """

    def __init__(self, size: int) -> None:
        self.acknowledged = 0
        self.sent = 0
        self._size = size
        self._data = bytearray()  # from `acknowledged` to `end`

    @property
    def end(self) -> int:
        return self.acknowledged + len(self._data)

    @property
    def unsent(self) -> int:
        return self.end - self.sent

    @property
    def room(self) -> int:
        """Bytes that may be added before more is acknowledged."""
        return self._size - len(self._data)

    def append(self, data: bytes) -> None:
        self._data += data

    def acknowledge(self, offset: int) -> None:
        """Drop the output before `offset`, which must be within the window."""
        del self._data[: offset - self.acknowledged]
        self.acknowledged = offset
        self.sent = max(self.sent, offset)

    def resend(self) -> None:
        """Send everything again that is not acknowledged."""
        self.sent = self.acknowledged

    def next_chunk(self, most: int) -> bytes:
        """Return the next unsent output, up to `most` bytes, and count it as sent."""
        begin = self.sent - self.acknowledged
        chunk = bytes(self._data[begin : begin + most])
        self.sent += len(chunk)
        return chunk
