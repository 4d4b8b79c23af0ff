"""The memory of the process, as the GNU C library manages it."""

import asyncio
import contextlib
import gc
from collections.abc import Callable

# `ctypes` would take 0.5 MB. PyNaCl has loaded this module already.
import _cffi_backend  # type: ignore[import-untyped]
import psutil

# Numbers of mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
# Blocks of this size are returned to the system when they are freed. Without a fixed limit, the
# library raises it to the size of the largest block so far, up to 32 MB.
MMAP_BYTES = 128 * 1024
TRIM_BYTES = 128 * 1024  # free bytes at the end of the heap that are kept
PERIOD = 5.0  # seconds


def limit_reserves() -> None:
    """Keep little free memory in reserve. Call this before the first thread starts.

    All threads share one heap, because each further heap keeps what it once used.
    """
    number = _cffi_backend.new_primitive_type("int")
    signature = _cffi_backend.new_function_type((number, number), number, False)  # noqa: FBT003  # its only way
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = _cffi_backend.load_library(None, 0).load_function(signature, "mallopt")
        mallopt(ARENA_MAX, 1)
        mallopt(MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(TRIM_THRESHOLD, TRIM_BYTES)


def return_free() -> None:
    """Return the unused pages within the heap to the system, which takes a few milliseconds."""
    gc.collect()
    trim = getattr(psutil, "heap_trim", None)  # not with every C library
    if trim:
        trim()


async def return_free_memory(was_used: Callable[[], bool]) -> None:
    """Return free memory after the start, for as long as `was_used` is true, and once afterwards.

    `was_used` says if commands or terminals used memory since the last call.
    """
    before = True
    while True:
        await asyncio.sleep(PERIOD)
        now = was_used()
        if now or before:
            return_free()
        before = now
