from pathlib import Path

import psutil

from agent.collect.omissions import omit, omit_more
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

PERIOD = 10.0  # seconds between readings; some drivers need milliseconds for one
SENSOR_LIMIT = 128
TEXT_LIMIT = 256  # characters
SENSORS = ("hwmon/*/temp*_input", "hwmon/*/device/temp*_input", "thermal/thermal_zone*/temp")
# The range of silicon sensors. A pin without a sensor reads as a value beyond it.
LOWEST, HIGHEST = -55.0, 125.0  # °C


class Temperature:
    """Reports the temperature sensors of the host."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self._due = 0.0
        self._readings: list[tuple[str, float]] = []

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        if now >= self._due:
            self._due = now + PERIOD
            self._readings = _read() if self._has_sensors() else []
        reported = []
        for sensor, celsius in self._readings:
            if LOWEST <= celsius <= HIGHEST:
                reported.append((sensor, celsius))
            else:
                detail = f"{celsius:.1f} °C"
                omit(snapshot, "temperature", sensor, OmittedItem.REASON_IMPOSSIBLE, detail)
        for sensor, celsius in reported[:SENSOR_LIMIT]:
            snapshot.temperatures.add(sensor=sensor, celsius=celsius)
        omit_more(snapshot, "temperature", len(reported), SENSOR_LIMIT)

    def _has_sensors(self) -> bool:
        return any(any((self._sys / "class").glob(pattern)) for pattern in SENSORS)


def _read() -> list[tuple[str, float]]:
    return [
        (f"{chip} {sensor.label}".rstrip()[:TEXT_LIMIT], sensor.current)
        for chip, sensors in psutil.sensors_temperatures().items()
        for sensor in sensors
    ]
