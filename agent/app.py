"""The running agent: its parts, and the order in which they start and end."""

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from agent import __version__
from agent.base import logs, memory
from agent.base.cancellation import cancel
from agent.base.config import Config, LiveConfig
from agent.base.identity import Identity, StateFolder
from agent.collect import facts
from agent.collect.custom import generic
from agent.collect.sampler import Sampler
from agent.commands import policy
from agent.commands.signature_check import CommandVerifier
from agent.dispatch.dispatcher import Dispatcher
from agent.docker.collector import DockerCollector
from agent.spool.models import Quota
from agent.spool.send_queue import SendQueue
from agent.spool.spool_thread import SpoolThread
from agent.stream import ServerConnection
from flotilla.v1.agent_pb2 import AgentConfig

log = logging.getLogger(__name__)


def run(
    state: StateFolder,
    identity: Identity,
    config: Config,
    policy_file: Path,
    protected: tuple[Path, ...],
) -> None:
    """Run until SIGTERM or SIGINT. File actions cannot read or write `protected` files."""
    with state.lock():
        live = LiveConfig(config, state.load_pushed_config())
        asyncio.run(_run(state, identity, live, policy_file, protected))


async def _run(
    state: StateFolder,
    identity: Identity,
    config: LiveConfig,
    policy_file: Path,
    protected: tuple[Path, ...],
) -> None:
    _follow_log_level(config)
    queue = SendQueue(identity.vps_id, SpoolThread(state.path / "spool.db", _quota(config.current)))
    await queue.open()
    docker = DockerCollector(config)
    dispatcher = Dispatcher(
        state,
        policy.load_or_deny_all(policy_file),
        CommandVerifier(identity.vps_id, identity.command_keys, state.path / "server_time"),
        protected=protected,
        docker_socket=lambda: Path(config.current.docker_socket),
        docker_changed=docker.collect_soon,
    )
    await dispatcher.start()
    connection = ServerConnection(
        identity,
        queue,
        dispatcher,
        revision=lambda: config.revision,
        configure=lambda pushed: _configure(config, state, pushed),
        facts=facts.collect,
    )
    # Objects that exist now live as long as the agent, so exempt them from garbage collection.
    gc.collect()
    gc.freeze()
    log.info("flotilla-agent %s starts as %s.", __version__, identity.vps_id)
    try:
        await _work(queue, connection, _sources(config, docker, queue, dispatcher))
    finally:
        await dispatcher.close()
        await queue.close()
    log.info("flotilla-agent ends.")


async def _work(
    queue: SendQueue,
    connection: ServerConnection,
    sources: Iterator[Coroutine[Any, Any, None]],
) -> None:
    """Measure, store and send until a signal comes or a part fails. Then end in this order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    storing = asyncio.ensure_future(queue.run())
    measuring = [asyncio.ensure_future(source) for source in sources]
    sending = asyncio.ensure_future(connection.run(stopping))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait(
            {storing, *measuring, sending, stop}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
        await cancel(*measuring)
        await sending
        queue.stop()
        await storing
    finally:
        await cancel(*measuring, sending, stop, storing)


def _follow_log_level(config: LiveConfig) -> None:
    def follow() -> None:
        logs.set_level(config.current.log_level)

    config.subscribe(follow)
    follow()


def _configure(config: LiveConfig, state: StateFolder, pushed: AgentConfig) -> None:
    """Use the settings that the server pushed, now and after a restart."""
    if not config.apply(pushed):
        return
    try:
        state.save_pushed_config(pushed)
    except OSError as error:
        log.warning(
            "Configuration revision %d cannot be saved, so it will be lost at a restart: %s",
            pushed.revision,
            error,
        )


def _quota(config: Config) -> Quota:
    return Quota(size=config.spool_max_mb * 1024 * 1024, age=config.spool_max_days * 86_400)


def _sources(
    config: LiveConfig, docker: DockerCollector, queue: SendQueue, dispatcher: Dispatcher
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield the collectors' loops, and those that look after lost measurements and memory."""
    yield Sampler(config).run(queue.add)
    yield docker.run(queue.add)
    yield queue.watch()
    yield memory.return_free_memory(dispatcher.was_used)
    if commands := (*config.current.collectors, *generic.plugins()):
        yield generic.CustomCollectors(config, commands).run(queue.add_metrics)
