"""Hostile clients of the edge and the gateway, in a process of their own.

    python tests/chaos/hostile_clients.py --edge PORT --gateway PORT --authority FILE --seconds 30

Begins attacks at fixed rates, from many addresses of this machine, until the time is over. Prints
one JSON object: for each attack, how often it ended in which way. An attack that the end of the
time interrupted is `unfinished`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from tests.chaos import edge_attacks, gateway_attacks, hostile_connection
from tests.chaos.hostile_connection import Target

UNFINISHED = "unfinished"

Attack = Callable[[Target], Awaitable[str]]
Outcomes = dict[str, Counter[str]]


ATTACKS: dict[str, tuple[Attack, float]] = {
    f"{service}-{attack.__name__.replace('_', '-')}": (attack, rate)
    for service, attacks in (("edge", edge_attacks.ATTACKS), ("gateway", gateway_attacks.ATTACKS))
    for attack, rate in attacks.items()
}


async def run(target: Target, names: Sequence[str], seconds: float, share: float) -> Outcomes:
    outcomes: Outcomes = {name: Counter() for name in names}
    loops = [
        _repeat(attack, share * rate, target, outcomes[name])
        for name, (attack, rate) in ATTACKS.items()
        if name in outcomes
    ]
    # uvloop reports each TLS connection that is aborted while it closes.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    running = asyncio.gather(*loops)
    await asyncio.wait({running}, timeout=seconds)
    if running.done():
        running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return outcomes


async def _repeat(attack: Attack, rate: float, target: Target, outcomes: Counter[str]) -> None:
    """Begin one attack at random moments, `rate` times in a second, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            await asyncio.sleep(random.expovariate(rate))
            tasks.create_task(_once(attack, target, outcomes))


async def _once(attack: Attack, target: Target, outcomes: Counter[str]) -> None:
    outcome = UNFINISHED
    try:
        outcome = await attack(target)
    except (OSError, EOFError) as error:
        outcome = type(error).__name__
    finally:
        outcomes[outcome] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edge", type=int, required=True, help="its port")
    parser.add_argument("--gateway", type=int, required=True, help="its port")
    parser.add_argument("--authority", type=Path, required=True, help="of the edge's certificate")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual rates")
    parser.add_argument("--only", nargs="+", default=[*ATTACKS], choices=[*ATTACKS])
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    target = hostile_connection.target(options.edge, options.gateway, options.authority)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(run(target, options.only, options.seconds, options.share))
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    main()
