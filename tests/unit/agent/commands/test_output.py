import asyncio

from agent.commands.output import Output
from agent.dispatch import executor
from flotilla.v1.command_pb2 import CommandResponse
from services.ingest.edge import command_relay
from tests.fixtures.virtual_time import in_virtual_time


@in_virtual_time
async def test_output_of_one_hour_fits_into_the_parts_that_the_edge_forwards() -> None:
    now = asyncio.get_running_loop().time
    began = now()
    sent_at: list[float] = []

    async def send(_: CommandResponse) -> None:
        sent_at.append(now() - began)
        if sent_at[-1] < executor.MAX_TIMEOUT:
            output.add(stdout=b".")
        else:
            output.end()

    output = Output(0, send)
    output.add(stdout=b".")

    await output.stream()

    assert len(sent_at) < command_relay.MAX_PARTS / 1.9
    assert sent_at[100] < 6
    assert sent_at[-1] - sent_at[-2] < 1
