from contextlib import ExitStack
from uuid import uuid4

import pytest

from services.gateway.api.errors import RequestError
from services.gateway.api.limits import PER_AGENT, TRANSFERS, TRANSFERS_OF_USER, TransferLimits


def test_a_transfer_over_the_limit_is_refused_until_another_ends() -> None:
    limits = TransferLimits()
    with ExitStack() as running:
        for _ in range(TRANSFERS):
            running.enter_context(limits.slot(uuid4()))
        with pytest.raises(RequestError), limits.slot(uuid4()):
            pass
    with limits.slot(uuid4()):
        pass


def test_a_user_gets_a_share_of_the_transfers_and_leaves_the_rest_to_others() -> None:
    limits = TransferLimits()
    user, other = uuid4(), uuid4()
    with ExitStack() as running:
        for _ in range(TRANSFERS_OF_USER):
            running.enter_context(limits.slot(user))
        with pytest.raises(RequestError) as refused, limits.slot(user):
            pass
        assert refused.value.status == 429
        with limits.slot(other):
            pass
    with limits.slot(user):
        pass


async def test_transfers_with_one_agent_share_its_slots() -> None:
    limits = TransferLimits()
    slots = limits.agent_slots("a")
    for _ in range(PER_AGENT):
        await slots.acquire()
    assert limits.agent_slots("a").locked()
    assert not limits.agent_slots("b").locked()
