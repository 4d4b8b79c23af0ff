import asyncio
import subprocess
import sys

import pytest

from agent.base import memory
from agent.base.cancellation import cancel
from tests.fixtures.virtual_time import in_virtual_time

# Blocks of the size of a file chunk are freed, while the small block after each of them stays.
PROGRAM = """
import sys
from agent.base import memory

def resident():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Anonymous:"):
            return int(line.split()[1])

if sys.argv[1] == "limited":
    memory.limit_reserves()
before = resident()
first = bytearray(8_000_000)
del first
pairs = [(bytearray(262_144), bytearray(3_000 + number)) for number in range(60)]
for large, _ in pairs:
    large[:] = b"x" * len(large)
small = [pair[1] for pair in pairs]
del pairs, large, _
if sys.argv[2] == "returned":
    memory.return_free()
print(resident() - before)
"""


def growth(*options: str) -> int:
    """Return the memory that stays after large blocks were freed, in KiB."""
    command = [sys.executable, "-c", PROGRAM, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


def test_freed_blocks_do_not_stay_in_the_process() -> None:
    assert growth("limited", "kept") < 1_500
    assert growth("unlimited", "returned") < growth("unlimited", "kept") - 5_000


@in_virtual_time
async def test_free_memory_is_returned_after_the_start_during_use_and_once_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returned: list[float] = []
    now = asyncio.get_running_loop().time
    monkeypatch.setattr(memory, "return_free", lambda: returned.append(now()))
    uses = iter([False, True, True, False, False, False, True, False, False])
    running = asyncio.ensure_future(memory.return_free_memory(lambda: next(uses, False)))

    await asyncio.sleep(60)

    await cancel(running)
    assert returned == [memory.PERIOD, 10, 15, 20, 35, 40]
