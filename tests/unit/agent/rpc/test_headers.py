"""The agent's own HPACK, compared with the library hpack."""

import contextlib
import random

import hpack
import pytest

from agent.rpc import headers
from agent.rpc.headers import HeaderError


def library_encoder() -> hpack.Encoder:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder


def arbitrary_text(chance: random.Random, most: int) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 5, 126, 127, 128, 300, most]))


@pytest.mark.parametrize("huffman", [False, True])
def test_fields_that_the_library_encodes_are_decoded(*, huffman: bool) -> None:
    chance = random.Random(5)
    for _ in range(100):
        fields = [
            (b"x" + arbitrary_text(chance, 700), arbitrary_text(chance, 20_000))
            for _ in range(chance.randint(0, 4))
        ]
        fields += [(b":status", b"200"), (b"content-type", b"application/grpc")]
        fields += [(b":status", b"418"), (b"grpc-status", b"14")]

        block = library_encoder().encode(fields, huffman=huffman)

        assert list(headers.decode(block)) == fields


def test_every_byte_has_its_huffman_code() -> None:
    fields = [(b"all", bytes(range(256)) * 2)]
    assert list(headers.decode(library_encoder().encode(fields, huffman=True))) == fields


def test_the_library_decodes_what_is_encoded() -> None:
    chance = random.Random(6)
    for _ in range(100):
        fields = [
            (b"x" + arbitrary_text(chance, 700), arbitrary_text(chance, 20_000)) for _ in range(3)
        ]
        decoder = hpack.Decoder(max_header_list_size=1 << 20)
        assert [
            tuple(field) for field in decoder.decode(headers.encode(fields), raw=True)
        ] == fields


@pytest.mark.parametrize("status", [b"200", b"204", b"206", b"304", b"400", b"404", b"500"])
def test_statuses_of_the_static_table_are_known(status: bytes) -> None:
    assert list(headers.decode(library_encoder().encode([(b":status", status)]))) == [
        (b":status", status)
    ]


def test_other_entries_of_the_static_table_are_skipped() -> None:
    block = library_encoder().encode([(b"server", b"x"), (b":method", b"GET"), (b"a", b"b")])
    assert list(headers.decode(block)) == [(b"a", b"b")]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (b"\x80", "unknown entry 0"),
        (b"\xbe", "unknown entry 62"),
        (b"\x7e\x01a", "unknown entry 62"),
        (b"\x21", "not allowed"),
        (b"\x00", "cut off"),
        (b"\x00\x03ab", "cut off"),
        (b"\x00\x01a", "cut off"),
        (b"\xff", "cut off"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x01", "too large"),
        (b"\x00\x81\x00\x00", "wrong padding"),
        (b"\x00\x82\xff\xff\x00", "wrong padding"),
        (b"\x00\x84\xff\xff\xff\xff\x00", "symbol of its end"),
    ],
)
def test_malformed_blocks_are_refused(block: bytes, problem: str) -> None:
    with pytest.raises(HeaderError, match=problem):
        list(headers.decode(block))


def test_arbitrary_bytes_are_decoded_or_refused() -> None:
    chance = random.Random(8)
    for _ in range(5_000):
        with contextlib.suppress(HeaderError):
            list(headers.decode(chance.randbytes(chance.randint(1, 60))))
