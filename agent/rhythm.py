def following(taken: float, interval: float, now: float) -> float:
    """The next moment of the rhythm; those that have passed already are left out."""
    missed = max(now - taken, 0) // interval
    return taken + (missed + 1) * interval
