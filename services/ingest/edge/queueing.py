"""Time that messages spend in a stream's queue before the edge reads them."""


class QueueingTime:
    """An upper limit for the time that the newest message was queued.

    A message is queued while the edge handles the messages before it, so the time of handling is
    added to the limit. While the edge waits for the next message, the queue is empty, so the time of
    waiting is subtracted. A busy machine delays each read a little, which subtracts only a little.

    All times are of the monotonic clock, in seconds.
    """

    def __init__(self, now: float) -> None:
        self.limit = 0.0
        self._since = now

    def wait(self, now: float) -> None:
        """Record that the edge starts to wait for the next message."""
        self.limit += now - self._since
        self._since = now

    def read(self, now: float) -> None:
        """Record that the next message was read."""
        self.limit = max(0.0, self.limit - (now - self._since))
        self._since = now
