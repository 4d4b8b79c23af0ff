"""Runs services until a signal, then lets what is in flight finish."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping

import structlog
import uvloop

log = structlog.get_logger(__name__)

GC_ALLOCATIONS = 20_000  # net, between collections of the youngest
DRAIN_DEADLINE = 20.0  # seconds from the signal to the last word

Run = Callable[[], Awaitable[None]]


async def run_until_signal(services: Mapping[str, Run]) -> int:
    """Run each until SIGTERM or SIGINT; the exit status.

    A service is cancelled to end it, drains inside its own context managers and
    is given `DRAIN_DEADLINE`. One that ends or fails by itself ends them all.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = {asyncio.create_task(_named(name, run), name=name) for name, run in services.items()}
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping", reason="signal" if stop.is_set() else "a service ended")
    stopped.cancel()
    ended = {task for task in tasks if task.done()}
    for task in tasks - ended:
        task.cancel()
    if tasks - ended:
        _, late = await asyncio.wait(tasks - ended, timeout=DRAIN_DEADLINE)
        for task in late:
            log.error("drain_deadline_passed", service=task.get_name(), seconds=DRAIN_DEADLINE)
    failed = [task for task in ended if not task.cancelled() and task.exception() is not None]
    log.info("stopped")
    return 1 if failed else 0


async def _named(name: str, run: Run) -> None:
    structlog.contextvars.bind_contextvars(service=name)
    try:
        await run()
    except asyncio.CancelledError:
        raise
    except BaseException:
        log.exception("service_failed")
        raise


def run(services: Mapping[str, Run]) -> int:
    # With thousands of streams the collector's default pace looks at all of them again and
    # again: a seventh of the edge's time. What was imported is never garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_signal(services))
