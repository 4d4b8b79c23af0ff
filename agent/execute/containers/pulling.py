import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agent.engine import Record, text_of
from agent.execute.containers.answers import MESSAGE_LIMIT, SAYS, translated
from agent.execute.containers.checks import ImageName
from agent.execute.failure import CommandFailedError, not_found, unavailable
from agent.execute.output import pause
from flotilla.v1.command_pb2 import CommandResponse, PullProgress

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

INTERVAL = 0.2  # seconds between words about progress
LAYER_LIMIT = 256

Part = Callable[[CommandResponse], Awaitable[None]]


async def pull(engine: "Engine", image: ImageName, part: Part) -> PullProgress:
    """The engine's last word, after what the layers were doing meanwhile.

    Raises:
        CommandFailedError: there is no such image, or its registry does not answer.
    """
    progress = _Progress()
    with translated(otherwise=_refused):
        async with aclosing(_records(engine, image)) as records:
            async for record in records:
                if said := record.get("error"):
                    raise _refused(f"{SAYS}{text_of(said, MESSAGE_LIMIT)}")
                progress.take(record)
                if state := progress.due():
                    await part(CommandResponse(pull=state))
    for state in progress.changed():
        await part(CommandResponse(pull=state))
    return progress.whole


async def _records(engine: "Engine", image: ImageName) -> AsyncGenerator[Record, None]:
    parameters: dict[str, Any] = {"fromImage": image}
    if ":" not in image.rpartition("/")[2]:
        parameters["tag"] = "latest"  # the engine would take all there are
    # The library's own method takes a stream that breaks off for its end.
    response = await engine._do_query("images/create", "POST", params=parameters)  # noqa: SLF001
    try:
        while line := await response.content.readline():
            yield json.loads(line)
    except ValueError:
        raise unavailable("the Docker engine says what cannot be read") from None
    finally:
        response.close()


def _refused(reason: str) -> CommandFailedError:
    absent = any(word in reason for word in ("not found", "unknown", "denied"))
    return (not_found if absent else unavailable)(reason)


class _Progress:
    """The newest state of each layer; says little of it at a time."""

    def __init__(self) -> None:
        self.whole = PullProgress()
        self._layers: dict[str, PullProgress] = {}
        self._changed: dict[str, None] = {}  # in the order in which they changed
        self._said = time.monotonic()
        self._times = 0

    def take(self, record: Record) -> None:
        amounts = record.get("progressDetail") or {}
        state = PullProgress(
            layer=text_of(record.get("id")),
            status=text_of(record.get("status")),
            current_bytes=max(int(amounts.get("current") or 0), 0),
            total_bytes=max(int(amounts.get("total") or 0), 0),
        )
        if not state.layer:
            self.whole = state
        elif state.layer in self._layers or len(self._layers) < LAYER_LIMIT:
            self._layers[state.layer] = state
            self._changed.setdefault(state.layer)

    def due(self) -> PullProgress | None:
        """The layer that has waited longest, unless something was said just now."""
        interval = max(INTERVAL, pause(self._times))
        if not self._changed or time.monotonic() - self._said < interval:
            return None
        self._said = time.monotonic()
        self._times += 1
        layer = next(iter(self._changed))
        del self._changed[layer]
        return self._layers[layer]

    def changed(self) -> list[PullProgress]:
        return [self._layers[layer] for layer in self._changed]
