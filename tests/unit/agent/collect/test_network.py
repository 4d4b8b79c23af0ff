import pytest

from agent.collect.network import INTERFACE_LIMIT, Network
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host

HEADER = """Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
"""


def interfaces(host: Host, **counts: tuple[int, int]) -> None:
    rows = [
        f"{name:>6}: {received} 1 0 0 0 0 0 0 {transmitted} 1 0 0 0 0 0 0\n"
        for name, (received, transmitted) in counts.items()
    ]
    host.write("proc/net/dev", HEADER + "".join(rows))


def collect(network: Network, now: float) -> PerformanceSnapshot:
    snapshot = PerformanceSnapshot()
    network.collect(snapshot, now)
    return snapshot


def hardware(host: Host, *names: str) -> None:
    for name in names:
        (host.sys / "class/net" / name / "device").mkdir(parents=True, exist_ok=True)


def test_the_first_reading_has_totals_and_no_rates(host: Host) -> None:
    hardware(host, "eth0")
    interfaces(host, lo=(9, 9), eth0=(1_000, 2_000))

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    assert [interface.name for interface in snapshot.interfaces] == ["eth0"]
    assert snapshot.network_receive_bytes_total == 1_000
    assert snapshot.network_transmit_bytes_total == 2_000
    assert not snapshot.HasField("network_receive_bytes_per_second")
    assert not snapshot.interfaces[0].HasField("receive_bytes_per_second")


def test_rates_are_per_interface_and_summed_over_hardware_alone(host: Host) -> None:
    hardware(host, "eth0", "eth1")
    network = Network(host.proc, host.sys)
    names = ("lo", "eth0", "eth1", "docker0", "veth12", "wg0", "bond0")
    interfaces(host, **dict.fromkeys(names, (0, 0)))
    collect(network, 10.0)
    interfaces(host, **dict.fromkeys(names, (4_000, 2_000)))

    snapshot = collect(network, 12.0)

    listed = [interface.name for interface in snapshot.interfaces]
    assert listed == ["eth0", "eth1", "docker0", "wg0", "bond0"]
    assert {i.receive_bytes_per_second for i in snapshot.interfaces} == {2_000.0}
    assert snapshot.network_receive_bytes_per_second == 4_000
    assert snapshot.network_transmit_bytes_per_second == 2_000
    assert snapshot.network_receive_bytes_total == 8_000


def test_a_virtual_function_under_a_synthetic_card_is_not_counted_twice(host: Host) -> None:
    hardware(host, "eth0", "enP1s1")
    (host.sys / "class/net/enP1s1/master").symlink_to(host.sys / "class/net/eth0")
    interfaces(host, eth0=(1_000, 1_000), enP1s1=(900, 900))

    assert collect(Network(host.proc, host.sys), 1.0).network_receive_bytes_total == 1_000


def test_a_card_in_a_bridge_is_counted(host: Host) -> None:
    hardware(host, "eth0")
    (host.sys / "class/net/vmbr0").mkdir(parents=True)
    (host.sys / "class/net/eth0/master").symlink_to(host.sys / "class/net/vmbr0")
    interfaces(host, eth0=(1_000, 1_000), vmbr0=(900, 900))

    assert collect(Network(host.proc, host.sys), 1.0).network_receive_bytes_total == 1_000


def test_in_a_container_without_hardware_the_name_decides(host: Host) -> None:
    interfaces(host, lo=(5, 5), eth0=(1_000, 1_000), tun0=(900, 900), docker0=(7, 7))

    assert collect(Network(host.proc, host.sys), 1.0).network_receive_bytes_total == 1_000


def test_a_counter_that_is_reset_gives_no_rate_for_that_time(host: Host) -> None:
    hardware(host, "eth0")
    network = Network(host.proc, host.sys)
    interfaces(host, eth0=(2**33, 500))
    collect(network, 10.0)
    interfaces(host, eth0=(100, 700))

    snapshot = collect(network, 12.0)

    assert not snapshot.HasField("network_receive_bytes_per_second")
    assert not snapshot.interfaces[0].HasField("receive_bytes_per_second")
    assert snapshot.network_transmit_bytes_per_second == 100
    assert snapshot.network_receive_bytes_total == 2**33


def totals(host: Host, *readings: dict[str, int]) -> list[int]:
    """Return the total after each reading of the received bytes by interface."""
    hardware(host, *{name for reading in readings for name in reading})
    network = Network(host.proc, host.sys)
    found = []
    for second, reading in enumerate(readings):
        interfaces(host, **{name: (received, 0) for name, received in reading.items()})
        found.append(collect(network, 1.0 + second).network_receive_bytes_total)
    return found


BIG = 40 * 10**9
# Received bytes by interface at each reading, and the total at each.
LEAVING: dict[str, tuple[list[dict[str, int]], list[int]]] = {
    "an interface leaves and returns": (
        [{"eth0": 10, "eth1": BIG}, {"eth0": 20}, {"eth0": 30, "eth1": BIG + 5}],
        [BIG + 10, BIG + 20, BIG + 30],
    ),
    "it goes on after its return": (
        [{"eth1": BIG}, {"eth0": 0}, {"eth1": BIG + 5}, {"eth1": BIG + 25}],
        [BIG, BIG, BIG, BIG + 20],
    ),
    "a new interface with a counter of its own": (
        [{"eth0": 10}, {"eth0": 10, "wan": BIG}, {"eth0": 10, "wan": BIG + 7}],
        [10, 10, 17],
    ),
    "it starts again at zero": (
        [{"ppp": BIG}, {"ppp": 100}, {"ppp": 350}],
        [BIG, BIG, BIG + 250],
    ),
    "a single reading of zero": (
        [{"eth0": BIG}, {"eth0": 0}, {"eth0": BIG + 60}, {"eth0": BIG + 70}],
        [BIG, BIG, BIG + 60, BIG + 70],
    ),
    "a bond steps back a little": (
        [{"eth0": 1_000}, {"eth0": 900}, {"eth0": 1_200}],
        [1_000, 1_000, 1_200],
    ),
    "a counter of 32 bits wraps": (
        [{"eth0": 2**32 - 100}, {"eth0": 50}, {"eth0": 60}],
        [2**32 - 100, 2**32 + 50, 2**32 + 60],
    ),
}


@pytest.mark.parametrize(("readings", "expected"), LEAVING.values(), ids=LEAVING)
def test_the_total_grows_by_what_passes(
    host: Host, readings: list[dict[str, int]], expected: list[int]
) -> None:
    assert totals(host, *readings) == expected


def test_an_interface_that_comes_later_has_no_rate_at_first(host: Host) -> None:
    hardware(host, "eth0", "eth1")
    network = Network(host.proc, host.sys)
    interfaces(host, eth0=(0, 0))
    collect(network, 10.0)
    interfaces(host, eth0=(200, 200), eth1=(10**12, 10**12))

    snapshot = collect(network, 12.0)

    assert snapshot.network_receive_bytes_per_second == 100
    assert not snapshot.interfaces[1].HasField("receive_bytes_per_second")
    assert snapshot.network_receive_bytes_total == 200


# Bytes of a name, and how it is reported.
NAMES = {
    "Latin-1": (b"lan-b\xfcro", "lan-b\ufffdro"),
    "next line": (b"x\xc2\x85y", "x\x85y"),
    "line separator": (b"x\xe2\x80\xa8y", "x\u2028y"),
    "a full-width space at the end": (b"x\xe3\x80\x80", "x\u3000"),
    "Chinese": ("网口".encode(), "网口"),
    "file separator": (b"x\x1cy", "x\x1cy"),
    "cut in a character": (b"x\xe7\xbd", "x\ufffd"),
    "quote": (b"it's", "it's"),
}


@pytest.mark.parametrize(("name", "reported"), NAMES.values(), ids=NAMES)
def test_a_name_can_hold_any_bytes(host: Host, name: bytes, reported: str) -> None:
    interfaces(host, eth0=(5, 5), e1=(7, 7))
    file = host.proc / "net/dev"
    file.write_bytes(file.read_bytes() + name + b": 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n")

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    assert [each.name for each in snapshot.interfaces] == ["eth0", "e1", reported]
    assert snapshot.network_receive_bytes_total == 13
    snapshot.SerializeToString()


# Lines after the heading, and the total.
LINES: dict[str, tuple[str, int | None]] = {
    "no blank after the colon": (
        "  eth0:137719774170 1 0 0 0 0 0 0 98765 1 0 0 0 0 0 0\n",
        137719774170,
    ),
    "an alias": ("bond0:1: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\neth0: 5 1 0 0 0 0 0 0 6 1\n", 5),
    "a VLAN's dot": ("ens18.4094: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n", 7),
    "OpenVZ": ("venet0: 11 1 0 0 0 0 0 0 12 1 0 0 0 0 0 0\n", 11),
    "nothing but loopback": ("    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", None),
    "no lines": ("", None),
    "a blank line": ("\n  eth0: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n\n", 5),
    "a line that is cut": ("eth0: 5 1 0 0 0 0 0 0 6 1\n  eth1: 5 1 0\n", 5),
    "a counter near 2^64": (
        f"eth0: 5 1 0 0 0 0 0 0 6 1\n  eth1: {2**64 - 514} 1 0 0 0 0 0 0 6 1\n",
        5,
    ),
}


@pytest.mark.parametrize(("lines", "total"), LINES.values(), ids=LINES)
def test_odd_lines(host: Host, lines: str, total: int | None) -> None:
    host.write("proc/net/dev", HEADER + lines)

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    has_total = snapshot.HasField("network_receive_bytes_total")
    assert (snapshot.network_receive_bytes_total if has_total else None) == total


def test_a_line_that_cannot_be_read_and_an_impossible_counter_are_said(host: Host) -> None:
    line = f"eth1: {2**64 - 514} 1 0 0 0 0 0 0 6 1\n"
    host.write("proc/net/dev", f"{HEADER}eth0: x\n{line}")

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    assert [(each.collector, each.item, each.reason) for each in snapshot.omitted] == [
        ("network", "eth0", OmittedItem.REASON_UNREADABLE),
        ("network", "eth1", OmittedItem.REASON_IMPOSSIBLE),
    ]


def test_interfaces_above_the_limit_are_summed_and_said(host: Host) -> None:
    interfaces(host, **{f"eth{number}": (1, 1) for number in range(INTERFACE_LIMIT + 44)})

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    assert len(snapshot.interfaces) == INTERFACE_LIMIT
    assert snapshot.network_receive_bytes_total == INTERFACE_LIMIT + 44
    assert [each.detail for each in snapshot.omitted] == ["44 more than the limit of 256"]


# Files in the folder of an interface above eth0.
STACKED: dict[str, dict[str, str]] = {
    "VLAN": {"lower_eth0/x": "", "uevent": "DEVTYPE=vlan\n"},
    "macvlan": {"lower_eth0/x": ""},
    "bond": {"lower_eth0/x": "", "bonding/mode": "active-backup 1\n"},
    "bridge with eth0": {"lower_eth0/x": "", "bridge/stp_state": "0\n"},
    "bridge of containers": {"lower_veth1/x": "", "bridge/stp_state": "0\n"},
    "PPPoE": {"type": "512\n", "uevent": "DEVTYPE=ppp\nINTERFACE=x\n"},
    "WireGuard": {"type": "65534\n", "uevent": "DEVTYPE=wireguard\n"},
    "TUN": {"type": "65534\n", "tun_flags": "0x1\n"},
    "TAP, as of ZeroTier": {"type": "1\n", "tun_flags": "0x1002\n"},
    "VXLAN": {"type": "1\n", "uevent": "DEVTYPE=vxlan\n"},
    "IPIP": {"type": "768\n"},
    "GRE": {"type": "778\n"},
}


@pytest.mark.parametrize("name", ["above", "wan", "eth0.100", "podman0"])
@pytest.mark.parametrize("files", STACKED.values(), ids=STACKED)
def test_in_a_container_what_lies_above_another_interface_is_not_counted(
    host: Host, files: dict[str, str], name: str
) -> None:
    host.write("sys/class/net/eth0/type", "1\n")
    for file, text in {"type": "1\n", **files}.items():
        host.write(f"sys/class/net/{name}/{file}", text)
    interfaces(host, **{"eth0": (1_000, 500), name: (990, 490)})

    snapshot = collect(Network(host.proc, host.sys), 1.0)

    assert len(snapshot.interfaces) == 2
    assert snapshot.network_receive_bytes_total == 1_000


def test_a_container_can_have_nothing_but_a_tunnel(host: Host) -> None:
    host.write("sys/class/net/tap0/tun_flags", "0x1002\n")
    interfaces(host, lo=(9, 9), tap0=(1_000, 500))

    assert collect(Network(host.proc, host.sys), 1.0).network_receive_bytes_total == 1_000
