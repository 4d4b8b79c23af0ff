"""The outbound gate."""

import pytest

from services.kit.alerts.outbound import (
    RefusedAddressError,
    check_literal,
    is_allowed,
    join,
    parse_target,
)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
        "localhost",
    ],
)
def test_private_addresses_and_names_are_refused(host: str) -> None:
    assert not is_allowed(host, 443, [])


@pytest.mark.parametrize("host", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_allowed(host: str) -> None:
    assert is_allowed(host, 443, [])


def test_a_listed_address_is_allowed_on_its_port_alone() -> None:
    assert is_allowed("127.0.0.1", 9099, {"127.0.0.1:9099"})
    assert not is_allowed("127.0.0.1", 9098, {"127.0.0.1:9099"})
    assert is_allowed("fd00:0::5", 25, {"[fd00::5]:25"})


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "2130706433", "0x7f000001", "127.1", "10.0.0.1"],
)
def test_a_host_that_is_plainly_private_is_refused_early(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        check_literal(host, 80, [])


@pytest.mark.parametrize(
    ("entry", "target"),
    [("127.0.0.1:9099", "127.0.0.1:9099"), ("[FD00:0:0::5]:25", "[fd00::5]:25")],
)
def test_a_target_is_an_address_with_a_port(entry: str, target: str) -> None:
    assert join(*parse_target(entry)) == target


@pytest.mark.parametrize(
    "entry",
    ["127.0.0.1", "localhost:80", "127.0.0.1:0", "127.0.0.1:99999", "fd00::5:25", "10.0.0.0/8:1"],
)
def test_other_targets_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_target(entry)
