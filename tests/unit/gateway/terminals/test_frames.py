import msgspec
import pytest

from services.gateway.api.errors import RequestError
from services.gateway.terminals.schemas import Close, Credit, Resize, ViewerFrame
from services.gateway.terminals.socket import TerminalQuery, read_query
from services.kit.access import Action

SESSION = "0123456789abcdef" * 2


def query(**values: str) -> TerminalQuery:
    defaults = {"session": "", "container": "", "observe": "0", "columns": "80", "rows": "24"}
    return read_query({**defaults, **values})


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type": "resize", "columns": 1000, "rows": 1}', Resize(1000, 1)),
        ('{"type": "credit", "offset": 0}', Credit(0)),
        ('{"type": "close"}', Close()),
    ],
)
def test_a_frame_of_a_viewer_is_read(text: str, frame: object) -> None:
    assert msgspec.json.decode(text, type=ViewerFrame) == frame


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type": "other"}',
        '{"type": "close", "more": 1}',
        '{"type": "credit", "offset": -1}',
        '{"type": "resize", "columns": 1001, "rows": 1}',
        '{"type": "resize", "columns": 1, "rows": 0}',
    ],
)
def test_another_frame_of_a_viewer_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=ViewerFrame)


def test_the_query_says_whether_to_open_join_or_observe() -> None:
    opened, joined, observed = query(), query(session=SESSION), query(session=SESSION, observe="1")
    assert (opened.audit_action, opened.action) == ("shell.open", Action.SHELL_OPEN)
    assert (joined.audit_action, joined.action) == ("shell.attach", Action.SHELL_OPEN)
    assert (observed.audit_action, observed.action) == ("shell.observe", Action.SHELL_READ)


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"columns": "0"}, ("columns", "rows")),
        ({"rows": "501"}, ("columns", "rows")),
        ({"columns": "wide"}, ("columns", "rows")),
        ({"columns": "\u0661"}, ("columns", "rows")),
        ({"container": "web"}, ("container",)),
        ({"observe": "1"}, ("observe", "session")),
        ({"observe": "yes"}, ("observe", "session")),
    ],
)
def test_a_wrong_query_is_refused_with_its_fields(
    values: dict[str, str], fields: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as refused:
        query(**values)
    assert (refused.value.status, refused.value.fields) == (422, fields)


def test_a_session_id_of_another_format_is_not_found() -> None:
    with pytest.raises(RequestError) as refused:
        query(session="../0")
    assert refused.value.status == 404
