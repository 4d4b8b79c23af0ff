import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from agent import __version__, logs
from agent.collect import facts, generic
from agent.collect.docker import Docker
from agent.config import Config, LiveConfig
from agent.execute import policy
from agent.execute.hands import Hands
from agent.execute.trust import Trust
from agent.identity import Identity, StateFolder
from agent.items import Quota
from agent.outbox import Outbox
from agent.sampler import Sampler
from agent.store import Store
from agent.stream import Stream
from agent.tasks import cancel
from flotilla.v1.agent_pb2 import AgentConfig

log = logging.getLogger(__name__)


def run(
    state: StateFolder,
    identity: Identity,
    config: Config,
    policy_file: Path,
    owners: tuple[Path, ...],
) -> None:
    """Run until told to stop; nobody reads or writes the files of `owners` from afar."""
    with state.lock():
        live = LiveConfig(config, state.pushed_config())
        asyncio.run(_run(state, identity, live, policy_file, owners))


async def _run(
    state: StateFolder,
    identity: Identity,
    config: LiveConfig,
    policy_file: Path,
    owners: tuple[Path, ...],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def follow_log_level() -> None:
        logs.set_level(config.current.log_level)

    def configure(pushed: AgentConfig) -> None:
        if not config.apply(pushed):
            return
        try:
            state.keep_pushed_config(pushed)
        except OSError as error:
            log.warning("revision %d will not outlive a restart: %s", pushed.revision, error)

    config.subscribe(follow_log_level)
    follow_log_level()
    store = Store(state.path / "spool.db", _quota(config.current))
    outbox = Outbox(identity.vps_id, store)
    await store.open()
    docker = Docker(config)
    hands = Hands(
        state,
        policy.load_or_nothing(policy_file),
        Trust(identity.vps_id, identity.command_keys),
        forbidden=owners,
        docker_socket=lambda: Path(config.current.docker_socket),
        docker_changed=docker.nudge,
    )
    await hands.start()
    stream = Stream(
        identity,
        outbox,
        hands,
        revision=lambda: config.revision,
        configure=configure,
        facts=facts.collect,
    )
    # What is loaded by now stays: the collector need not walk through it again.
    gc.collect()
    gc.freeze()
    log.info("flotilla-agent %s starts, vps_id %s", __version__, identity.vps_id)
    keeping = asyncio.ensure_future(store.run())
    work = [asyncio.ensure_future(part) for part in _parts(config, docker, outbox)]
    streaming = asyncio.ensure_future(stream.run(stopping))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait(
            {keeping, *work, streaming, stop}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
        await cancel(*work)
        await streaming
        store.stop()
        await keeping
    finally:
        await cancel(*work, streaming, stop, keeping)
        await hands.close()
        outbox.keep_accepted()
        await store.close()
    log.info("flotilla-agent stops")


def _quota(config: Config) -> Quota:
    return Quota(size=config.spool_max_mb * 1024 * 1024, age=config.spool_max_days * 86_400)


def _parts(
    config: LiveConfig, docker: Docker, outbox: Outbox
) -> Iterator[Coroutine[Any, Any, None]]:
    yield Sampler(config).run(outbox.add)
    yield docker.run(outbox.add)
    yield outbox.watch()
    if commands := (*config.current.collectors, *generic.plugins()):
        yield generic.Generic(config, commands).run(outbox.add_metrics)
