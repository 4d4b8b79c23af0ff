import asyncio
from uuid import UUID

from services.gateway.fleet.live_hub import LiveHub
from services.kit.access import Kind, Object
from services.kit.agents.presence import PresenceBoard


async def test_the_mailbox_of_a_slow_viewer_keeps_only_the_newest() -> None:
    live = LiveHub(PresenceBoard())
    live.set_servers(
        {str(number): (Object(Kind.SERVER, organisation=UUID(int=1)), True) for number in range(10)}
    )
    with live.viewing(lambda _: True, with_detail=False) as viewer:
        for number in range(10_000):
            viewer.post(str(number % 10), "sample", str(number).encode())
        mail = await asyncio.wait_for(viewer.collect(), 1)
    assert len(mail) == 20
    assert set(mail[10:]) == {str(number).encode() for number in range(9_990, 10_000)}
