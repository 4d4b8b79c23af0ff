from agent.items import Kind, Span

SPAN_LIMIT = 32


class Backlog:
    """Which stored items of one kind wait to be sent, oldest first.

    Each cut of the connection may leave a gap between two spans. Beyond the limit the
    closest two become one: what lies between is sent once more.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._spans: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._spans)

    def add(self, first: int, last: int) -> None:
        joined: list[tuple[int, int]] = []
        for span in sorted([*self._spans, (first, last)]):
            if joined and span[0] <= joined[-1][1] + 1:
                joined[-1] = joined[-1][0], max(joined[-1][1], span[1])
            else:
                joined.append(span)
        while len(joined) > SPAN_LIMIT:
            gap = min(range(1, len(joined)), key=lambda i: joined[i][0] - joined[i - 1][1])
            joined[gap - 1 : gap + 1] = [(joined[gap - 1][0], joined[gap][1])]
        self._spans = joined

    def front(self) -> Span:
        return Span(self._kind, *self._spans[0])

    def taken(self, asked: Span, through: int) -> None:
        """Forget what of a former front lies up to and including `through`."""
        self._spans = [
            (max(first, through + 1) if first >= asked.first else first, last)
            for first, last in self._spans
            if last > through or first < asked.first
        ]
