"""Metrics that a rule can compare, and the thresholds that make sense for each."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from services.kit.metrics.fields import METRICS, Metric

OFFLINE = "offline"
"""1 while no edge holds the agent's stream, otherwise 0."""

READERS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in METRICS})
NAMES = (*READERS, OFFLINE)

_PERCENT = frozenset({"cpu_usage", "cpu_iowait", "cpu_steal", "mem_usage", "disk_usage"})
_LARGEST = 2.0**63


def bounds(metric: str) -> tuple[float, float]:
    """Return the smallest and the largest threshold of a metric."""
    if metric == OFFLINE:
        return 0, 1
    if metric in _PERCENT:
        return 0, 100
    if metric == "temperature":
        return -100, 250
    return 0, _LARGEST


def similar(name: str) -> list[str]:
    """Return names of metrics that are close to a wrong one, the closest first."""
    close = difflib.get_close_matches(name.lower(), NAMES, n=3, cutoff=0.4)
    parts = [one for one in NAMES if name.lower()[:3] and one.startswith(name.lower()[:3])]
    return list(dict.fromkeys([*close, *parts]))[:5]
