import itertools
import os

import pytest

from agent.commands.errors import CommandFailedError
from agent.files.names import check_path, join, last_name, to_os_name, to_text


@pytest.mark.parametrize("name", ["plain", "ä漢", "with space"])
def test_a_utf8_name_survives_the_way_to_the_kernel_and_back(name: str) -> None:
    assert to_text(to_os_name(name)) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"touch\xe9.txt", "touch\uefe9.txt"),
        ("报告.txt".encode("gbk"), "\uefb1\uefa8\uefb8\uefe6.txt"),
        (b"\x80\xff", "\uef80\uefff"),
        (b"\xed\xb2\x80", "\uefed\uefb2\uef80"),  # UTF-8 has no surrogates
        (b"\xc3", "\uefc3"),
        # The private characters themselves are not confused with what they stand for.
        ("\uefe9".encode(), "\uefee\uefbf\uefa9"),
        ("\uef7f\uf000".encode(), "\uef7f\uf000"),
        (rb"dev-touch\xc3\xa9.mount", r"dev-touch\xc3\xa9.mount"),
    ],
)
def test_a_name_of_any_bytes_has_a_text_that_leads_back_to_it(name: bytes, text: str) -> None:
    assert to_text(os.fsdecode(name)) == text
    assert text.encode().decode() == text  # a message and a URL can carry it
    assert os.fsencode(to_os_name(text)) == name


def test_no_two_names_have_the_same_text() -> None:
    alphabet = [b"a", b"\xc3", b"\xa9", b"\xee", b"\xbe", b"\x80", b"\xff"]
    names = {b"".join(letters) for letters in itertools.product(alphabet, repeat=4)}
    texts = {to_text(os.fsdecode(name)) for name in names}
    assert len(texts) == len(names)
    assert {os.fsencode(to_os_name(text)) for text in texts} == names


def test_a_path_is_limited_in_bytes_of_the_kernel() -> None:
    check_path("/" + "\uefe9" * 4095)
    with pytest.raises(CommandFailedError, match="4097"):
        check_path("/" + "\uefe9" * 4096)


def test_a_name_is_joined_to_a_folder_with_one_slash() -> None:
    assert join("/srv", "a") == join("/srv/", "a") == "/srv/a"
    assert join("/", "a") == "/a"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/srv/a", "a"), ("/srv/a/", "a"), ("/a", "a"), ("/", "/"), ("/\uefc3\uefa9", "é")],
)
def test_the_last_name_of_a_path(path: str, name: str) -> None:
    assert last_name(path) == name
