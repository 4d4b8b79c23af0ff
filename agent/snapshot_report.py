"""The output of `flotilla-agent --once`."""

import json
import time

from google.protobuf.json_format import MessageToDict

from agent.base.config import Config, LiveConfig
from agent.collect import facts
from agent.collect.sampler import Sampler
from flotilla.v1.agent_pb2 import AgentConfig

INTERVAL = 1.0  # seconds between two readings, from which rates are calculated


def report(config: Config) -> str:
    """Return the facts and one snapshot of this host as JSON."""
    sampler = Sampler(LiveConfig(config, AgentConfig()))
    sampler.sample()
    time.sleep(INTERVAL)
    snapshot = sampler.sample()
    parts = {"facts": facts.collect(), "snapshot": snapshot}
    return json.dumps(
        {
            name: MessageToDict(message, preserving_proto_field_name=True)
            for name, message in parts.items()
        },
        indent=2,
        ensure_ascii=False,
    )
