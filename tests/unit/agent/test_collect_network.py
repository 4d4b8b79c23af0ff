from agent.collect.network import Network
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.unit.agent.host import Host

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
        (host.sys / "class/net" / name / "device").mkdir(parents=True)


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


def test_a_counter_that_goes_back_gives_no_rate_for_that_time(host: Host) -> None:
    hardware(host, "eth0")
    network = Network(host.proc, host.sys)
    interfaces(host, eth0=(2**32 - 1, 500))
    collect(network, 10.0)
    interfaces(host, eth0=(100, 700))

    snapshot = collect(network, 12.0)

    assert not snapshot.HasField("network_receive_bytes_per_second")
    assert not snapshot.interfaces[0].HasField("receive_bytes_per_second")
    assert snapshot.network_transmit_bytes_per_second == 100


def test_an_interface_that_comes_later_has_no_rate_at_first(host: Host) -> None:
    hardware(host, "eth0", "eth1")
    network = Network(host.proc, host.sys)
    interfaces(host, eth0=(0, 0))
    collect(network, 10.0)
    interfaces(host, eth0=(200, 200), eth1=(10**12, 10**12))

    snapshot = collect(network, 12.0)

    assert snapshot.network_receive_bytes_per_second == 100
    assert not snapshot.interfaces[1].HasField("receive_bytes_per_second")
    assert snapshot.network_receive_bytes_total == 10**12 + 200
