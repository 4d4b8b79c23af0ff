import json
import time

from google.protobuf.json_format import MessageToDict

from agent.collect import facts
from agent.config import Config, LiveConfig
from agent.sampler import Sampler
from flotilla.v1.agent_pb2 import AgentConfig

APART = 1.0  # seconds between the two readings that a rate needs


def report(config: Config) -> str:
    """Facts and one snapshot of this host, as JSON."""
    sampler = Sampler(LiveConfig(config, AgentConfig()))
    sampler.sample()
    time.sleep(APART)
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
