import pytest
from litestar.exceptions import HTTPException

from services.gateway.files.http_headers import attachment, byte_range


def wanted(header: str, *, size: int = 100, if_range: str = "") -> tuple[int, int] | None:
    return byte_range(header, if_range=if_range, size=size, version="v1")


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=90-999", (90, 100)),
        ("bytes = 10 - 19", (10, 20)),
    ],
)
def test_a_range_selects_bytes_up_to_the_end_of_the_file(
    header: str, part: tuple[int, int]
) -> None:
    assert wanted(header) == part


@pytest.mark.parametrize(
    "header",
    ["", "bytes=-", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=20-10", "bytes=1" + "0" * 20],
)
def test_a_range_that_cannot_be_answered_selects_the_whole_file(header: str) -> None:
    assert wanted(header) is None


def test_a_range_of_another_version_selects_the_whole_file() -> None:
    assert wanted("bytes=10-", if_range='"v1"') == (10, 100)
    assert wanted("bytes=10-", if_range='"v0"') is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=0-", 0), ("bytes=-0", 100), ("bytes=-5", 0)]
)
def test_a_range_without_a_byte_of_the_file_is_refused_with_its_size(
    header: str, size: int
) -> None:
    with pytest.raises(HTTPException, match=f"{size} bytes") as refused:
        wanted(header, size=size)
    assert refused.value.status_code == 416
    assert refused.value.headers == {"Content-Range": f"bytes */{size}"}


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/var/log/syslog", "attachment; filename=\"syslog\"; filename*=UTF-8''syslog"),
        ("/b/ä.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt"),
        ("/b/touch\uefe9.txt", "attachment; filename=\"touch_.txt\"; filename*=UTF-8''touch_.txt"),
        ('/a"\\%\n', "attachment; filename=\"a____\"; filename*=UTF-8''a%22%5C%25%0A"),
    ],
)
def test_a_download_is_saved_under_the_name_of_its_file(path: str, header: str) -> None:
    assert attachment(path) == header
