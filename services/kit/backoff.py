"""Pauses between attempts."""

import random
from collections.abc import Iterator


def backoff(first: float, most: float, *, jitter: float = 0.0) -> Iterator[float]:
    """Yield the seconds to wait before each repeat: `first`, then twice as long, at most `most`.

    With `jitter`, each pause is shortened by a random share of up to this fraction. Clients that failed
    at the same time then do not try again at the same time.
    """
    pause = first
    while True:
        # Not cryptographic.
        yield pause * random.uniform(1.0 - jitter, 1.0)  # noqa: S311
        pause = min(2 * pause, most)
