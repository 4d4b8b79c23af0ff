from agent.dispatch import executor
from agent.docker import pull
from flotilla.v1.command_pb2 import CommandResponse
from services.ingest.edge import command_relay


async def test_progress_keeps_the_newest_state_of_each_layer() -> None:
    now = 100.0
    progress = pull.Progress(lambda: now)
    said: list[CommandResponse] = []
    for step in range(1_000):
        now += 0.01
        progress.update({"id": f"layer{step % 3}", "progressDetail": {"current": step}})
        if state := progress.next_due():
            said.append(CommandResponse(pull=state))

    assert len(said) == 50  # ten seconds, five a second
    current = [part.pull.current_bytes for part in said]
    assert current == sorted(current)
    assert {part.pull.layer for part in said} == {"layer0", "layer1", "layer2"}
    assert max(state.current_bytes for state in progress.unreported()) == 999


async def test_a_pull_of_one_hour_fits_into_the_parts_that_the_edge_forwards() -> None:
    now = 0.0
    progress = pull.Progress(lambda: now)
    said = 0
    while now < executor.MAX_TIMEOUT:
        now += 0.05
        progress.update({"id": "layer", "status": "Downloading"})
        said += progress.next_due() is not None

    assert 1_000 < said < command_relay.MAX_PARTS / 1.9
