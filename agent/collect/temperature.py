from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot

PERIOD = 10.0  # seconds between readings; some drivers take milliseconds to answer
SENSOR_LIMIT = 128
TEXT_LIMIT = 256  # characters
SENSORS = ("hwmon/*/temp*_input", "hwmon/*/device/temp*_input", "thermal/thermal_zone*/temp")


class Temperature:
    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self._due = 0.0
        self._readings: list[tuple[str, float]] = []

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        if now >= self._due:
            self._due = now + PERIOD
            self._readings = _read() if self._has_sensors() else []
        for sensor, celsius in self._readings:
            snapshot.temperatures.add(sensor=sensor, celsius=celsius)

    def _has_sensors(self) -> bool:
        return any(any((self._sys / "class").glob(pattern)) for pattern in SENSORS)


def _read() -> list[tuple[str, float]]:
    # psutil takes 5 MB, and most virtual servers have no sensor to read with it.
    import psutil  # noqa: PLC0415

    readings = [
        (f"{chip} {sensor.label}".rstrip()[:TEXT_LIMIT], sensor.current)
        for chip, sensors in psutil.sensors_temperatures().items()
        for sensor in sensors
    ]
    return readings[:SENSOR_LIMIT]
