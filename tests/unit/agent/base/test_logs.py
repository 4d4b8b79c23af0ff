import logging

from agent.base.logs import LogfmtFormatter


def record(message: str, failure: Exception | None = None) -> str:
    exc_info = (type(failure), failure, None) if failure else None
    entry = logging.LogRecord("agent.x", logging.INFO, "f", 1, message, None, exc_info)
    entry.created, entry.msecs = 1795377999.5, 500.0
    return LogfmtFormatter().format(entry)


def test_an_event_is_one_line_with_an_iso_time() -> None:
    assert record("hello") == (
        'time=2026-11-22T20:06:39.500Z level=info logger=agent.x msg="hello"'
    )


def test_text_of_a_server_cannot_break_the_line_or_control_the_terminal() -> None:
    line = record('bad\n"thing"\x1b[31m')

    assert line.endswith(r'msg="bad\n\"thing\"\u001b[31m"')


def test_the_traceback_of_a_failure_is_in_the_same_line() -> None:
    line = record("failed", ValueError("unreadable"))

    assert "\n" not in line
    assert "ValueError: unreadable" in line
