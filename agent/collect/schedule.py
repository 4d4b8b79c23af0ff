def next_due(last: float, interval: float, now: float) -> float:
    """Return the first time after `now` that is a multiple of `interval` after `last`, in seconds."""
    missed = max(now - last, 0) // interval
    return last + (missed + 1) * interval
