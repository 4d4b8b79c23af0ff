import asyncio
import gc
import logging
import signal

from agent import __version__, logs
from agent.collect import facts
from agent.config import Config, LiveConfig
from agent.identity import Identity, StateFolder
from agent.outbox import Outbox
from agent.sampler import Sampler
from agent.stream import Stream, cancel
from flotilla.v1.agent_pb2 import AgentConfig

log = logging.getLogger(__name__)


def run(state: StateFolder, identity: Identity, config: Config) -> None:
    with state.lock():
        asyncio.run(_run(state, identity, LiveConfig(config, state.pushed_config())))


async def _run(state: StateFolder, identity: Identity, config: LiveConfig) -> None:
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
    outbox = Outbox(identity.vps_id)
    sampler = Sampler(config)
    stream = Stream(
        identity,
        outbox,
        revision=lambda: config.revision,
        configure=configure,
        facts=facts.collect,
    )
    # What is loaded by now stays: the collector need not walk through it again.
    gc.collect()
    gc.freeze()
    log.info("flotilla-agent %s starts, vps_id %s", __version__, identity.vps_id)
    sampling = asyncio.ensure_future(sampler.run(outbox.add))
    streaming = asyncio.ensure_future(stream.run(stopping))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({sampling, streaming, stop}, return_when=asyncio.FIRST_COMPLETED)
        if sampling.done():
            sampling.result()
        sampling.cancel()
        await streaming
    finally:
        await cancel(sampling, streaming, stop)
    log.info("flotilla-agent stops")
