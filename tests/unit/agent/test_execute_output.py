import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from agent.execute import executor
from agent.execute.containers import pulling
from agent.execute.output import Output
from flotilla.v1.command_pb2 import CommandResponse
from services.ingest import relay


async def test_an_hour_of_lines_fits_into_the_parts_that_the_edge_passes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    at: list[float] = []

    async def wait_for(waiting: Coroutine[Any, Any, object], timeout: float) -> None:
        nonlocal now
        now += timeout
        waiting.close()
        raise asyncio.TimeoutError

    async def send(_: CommandResponse) -> None:
        at.append(now)
        if now < executor.MAX_TIMEOUT:
            printing.add(stdout=b".")
        else:
            printing.end()

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    printing = Output(0, send)
    printing.add(stdout=b".")

    await printing.stream()

    assert len(at) < relay.MAX_PARTS / 1.9
    assert at[100] < 6
    assert at[-1] - at[-2] < 1


async def test_an_hour_of_a_pull_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = pulling._Progress()
    said = 0
    while now < executor.MAX_TIMEOUT:
        now += 0.05
        progress.take({"id": "layer", "status": "Downloading"})
        said += progress.due() is not None

    assert 1_000 < said < relay.MAX_PARTS / 1.9
