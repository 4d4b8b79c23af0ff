"""Runs services until a signal arrives, then lets them finish their current work."""

import asyncio
import gc
import resource
import signal
from collections.abc import Awaitable, Callable, Mapping

import structlog
import uvloop

from services.kit.errors import SettingsError

log = structlog.get_logger(__name__)

GC_ALLOCATIONS = 20_000  # net allocations between collections of the youngest generation
DRAIN_TIMEOUT = 20.0  # seconds from the signal until the process ends

Run = Callable[[], Awaitable[None]]


async def run_until_signal(services: Mapping[str, Run]) -> int:
    """Run all services until SIGTERM or SIGINT; return the exit status.

    A service is ended by cancelling it. It drains in its own context managers, for at most
    `DRAIN_TIMEOUT`. If one service ends or fails by itself, all are ended.
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
        _, late = await asyncio.wait(tasks - ended, timeout=DRAIN_TIMEOUT)
        for task in late:
            log.error("drain_timed_out", service=task.get_name(), seconds=DRAIN_TIMEOUT)
    failed = [task for task in ended if not task.cancelled() and task.exception() is not None]
    log.info("stopped")
    return 1 if failed else 0


async def _named(name: str, run: Run) -> None:
    structlog.contextvars.bind_contextvars(service=name)
    try:
        await run()
    except asyncio.CancelledError:
        raise
    except SettingsError as error:
        log.error("service_failed", error=str(error))  # noqa: TRY400  the setting is the cause
        raise
    except BaseException:
        log.exception("service_failed")
        raise


def run(services: Mapping[str, Run]) -> int:
    # With thousands of streams, the garbage collector's default interval takes a seventh of the
    # edge's time. Imported objects are never garbage, so they are frozen.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    # Each connection is an open file, and many systems allow 1,024 of them by default.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_until_signal(services))
