from typing import Any

from services.shellproxy.scrollback import RESET, Scrollback
from services.shellproxy.viewer import FRAME, WINDOW, Viewer


def attached(**fields: Any) -> Viewer:
    return Viewer("a", "u", "name", **{"is_controlling": True, "has_history": False} | fields)


def drained(viewer: Viewer, scrollback: Scrollback) -> list[tuple[int, bytes]]:
    frames = []
    while (frame := viewer.next_frame(scrollback)) is not None:
        frames.append(frame)
    return frames


def test_a_viewer_is_sent_no_more_than_its_window() -> None:
    scrollback, viewer = Scrollback(limit=4 * WINDOW), attached()
    scrollback.append(bytes(2 * WINDOW))
    viewer.restart(scrollback)
    frames = drained(viewer, scrollback)

    assert [offset for offset, _ in frames] == list(range(0, WINDOW, FRAME))
    assert viewer.sent == WINDOW
    viewer.acknowledge(10)
    assert drained(viewer, scrollback) == [(WINDOW, bytes(10))]
    viewer.acknowledge(10**9)
    assert viewer.room == WINDOW


def test_a_viewer_that_comes_back_begins_with_a_reset() -> None:
    scrollback, viewer = Scrollback(), attached(has_history=True)
    scrollback.append(b"before")
    viewer.restart(scrollback)
    assert drained(viewer, scrollback) == [(0, RESET), (2, b"before")]
    assert not viewer.is_behind(scrollback)


def test_what_a_viewer_lost_is_sent_again_from_there() -> None:
    scrollback, viewer = Scrollback(), attached()
    scrollback.append(b"abcdef")
    viewer.restart(scrollback)
    drained(viewer, scrollback)
    viewer.acknowledge(2)
    viewer.rewind(4, scrollback)
    assert drained(viewer, scrollback) == [(4, b"ef")]
    for nonsense in (1, 7):
        viewer.rewind(nonsense, scrollback)
        assert drained(viewer, scrollback) == []


def test_a_viewer_that_lost_what_is_not_there_any_more_starts_over() -> None:
    scrollback, viewer = Scrollback(limit=100), attached(has_history=True)
    scrollback.append(b"." * 50)
    viewer.restart(scrollback)
    drained(viewer, scrollback)
    viewer.rewind(1, scrollback)
    assert viewer.needs_restart
    viewer.restart(scrollback)
    assert drained(viewer, scrollback)[0] == (1, RESET)
    scrollback.append(b"." * 500)
    drained(viewer, scrollback)
    viewer.rewind(viewer.sent - 120, scrollback)
    assert viewer.needs_restart


def test_typed_bytes_count_as_taken_when_the_agent_has_them() -> None:
    viewer = attached()
    viewer.typed.take(0, b"abcdef")
    assert viewer.delivered_input(waiting=0) == 6
    assert viewer.delivered_input(waiting=2) == 4
    # Bytes of the previous driver are waiting as well.
    assert viewer.delivered_input(waiting=9) == 0
