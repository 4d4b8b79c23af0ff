import math

import psutil
import pytest

from agent.collect.temperature import SENSOR_LIMIT, Temperature
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host

Readings = dict[str, list[tuple[str, float]]]


def collect(host: Host, readings: Readings, monkeypatch: pytest.MonkeyPatch) -> PerformanceSnapshot:
    """Report readings by chip, as psutil finds them."""
    sensors = {
        chip: [psutil._ntuples.shwtemp(label, celsius, None, None) for label, celsius in values]
        for chip, values in readings.items()
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    host.write("sys/class/hwmon/hwmon0/temp1_input", "41500")
    snapshot = PerformanceSnapshot()
    Temperature(host.sys).collect(snapshot, 100.0)
    return snapshot


def test_temperatures_are_named_by_chip_and_sensor(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: Readings = {"coretemp": [("Core 0", 41.5)], "acpitz": [("", 30.0)]}

    snapshot = collect(host, readings, monkeypatch)

    assert {t.sensor: t.celsius for t in snapshot.temperatures} == {
        "coretemp Core 0": 41.5,
        "acpitz": 30.0,
    }
    assert not snapshot.omitted


def test_a_host_without_sensors_reports_no_temperature(host: Host) -> None:
    snapshot = PerformanceSnapshot()

    Temperature(host.sys).collect(snapshot, 100.0)

    assert snapshot == PerformanceSnapshot()


@pytest.mark.parametrize(
    "celsius", [3_892_313.987, 127.5, 255.0, -62.0, -128.0, -273.15, math.inf, math.nan]
)
def test_an_impossible_temperature_is_left_out_and_said(
    celsius: float, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = {"nct6793": [("SYSTIN", 31.0), ("PCH_CHIP", celsius), ("CPUTIN", 48.0)]}

    snapshot = collect(host, readings, monkeypatch)

    assert [t.sensor for t in snapshot.temperatures] == ["nct6793 SYSTIN", "nct6793 CPUTIN"]
    assert [(each.collector, each.item, each.reason) for each in snapshot.omitted] == [
        ("temperature", "nct6793 PCH_CHIP", OmittedItem.REASON_IMPOSSIBLE)
    ]


@pytest.mark.parametrize("celsius", [-12.5, 0.0, 104.0, -40.0])
def test_cold_and_heat_are_reported(
    celsius: float, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = collect(host, {"k10temp": [("Tctl", celsius)]}, monkeypatch)

    assert [t.celsius for t in snapshot.temperatures] == [celsius]


def test_sensors_above_the_limit_are_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = {"chip": [(str(number), 40.0) for number in range(SENSOR_LIMIT + 3)]}

    snapshot = collect(host, readings, monkeypatch)

    assert len(snapshot.temperatures) == SENSOR_LIMIT
    assert [each.detail for each in snapshot.omitted] == ["3 more than the limit of 128"]
