import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agent.commands.errors import CommandFailedError, not_found, unavailable
from agent.commands.output import pause_after
from agent.docker.client import Record, clean_text
from agent.docker.engine_errors import engine_message, translate_engine_errors
from agent.docker.identifiers import ImageName
from flotilla.v1.command_pb2 import CommandResponse, PullProgress

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

INTERVAL = 0.2  # seconds between two reports of progress
LAYER_LIMIT = 256

SendPart = Callable[[CommandResponse], Awaitable[None]]


async def pull(engine: "Engine", image: ImageName, send_part: SendPart) -> PullProgress:
    """Pull an image, report the progress of its layers, and return the final state.

    Raises:
        CommandFailedError: the image does not exist, or its registry does not answer.
    """
    progress = Progress()
    with translate_engine_errors(otherwise=_pull_failed):
        async with aclosing(_records(engine, image)) as records:
            async for record in records:
                if message := record.get("error"):
                    raise _pull_failed(engine_message(message))
                progress.update(record)
                if state := progress.next_due():
                    await send_part(CommandResponse(pull=state))
    for state in progress.unreported():
        await send_part(CommandResponse(pull=state))
    return progress.image


async def _records(engine: "Engine", image: ImageName) -> AsyncGenerator[Record, None]:
    parameters: dict[str, Any] = {"fromImage": image}
    if ":" not in image.rpartition("/")[2]:
        parameters["tag"] = "latest"  # without a tag the engine pulls all tags
    # The library's own method mistakes a broken stream for the end.
    response = await engine._do_query("images/create", "POST", params=parameters)  # noqa: SLF001
    try:
        while line := await response.content.readline():
            yield json.loads(line)
    except ValueError:
        raise unavailable(
            "The agent cannot read the response of the Docker engine. Try again."
        ) from None
    finally:
        response.close()


def _pull_failed(reason: str) -> CommandFailedError:
    is_absent = any(word in reason for word in ("not found", "unknown", "denied"))
    return (not_found if is_absent else unavailable)(reason)


class Progress:
    """The newest state of the image and of each layer, reported at a bounded rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.image = PullProgress()
        self._layers: dict[str, PullProgress] = {}
        self._changed: dict[str, None] = {}  # layers in the order in which they changed
        self._reported_at = self._clock()
        self._reports = 0

    def update(self, record: Record) -> None:
        amounts = record.get("progressDetail") or {}
        state = PullProgress(
            layer=clean_text(record.get("id")),
            status=clean_text(record.get("status")),
            current_bytes=max(int(amounts.get("current") or 0), 0),
            total_bytes=max(int(amounts.get("total") or 0), 0),
        )
        if not state.layer:
            self.image = state
        elif state.layer in self._layers or len(self._layers) < LAYER_LIMIT:
            self._layers[state.layer] = state
            self._changed.setdefault(state.layer)

    def next_due(self) -> PullProgress | None:
        """Return the layer that has waited longest, unless the last report was just made."""
        interval = max(INTERVAL, pause_after(self._reports))
        if not self._changed or self._clock() - self._reported_at < interval:
            return None
        self._reported_at = self._clock()
        self._reports += 1
        layer = next(iter(self._changed))
        del self._changed[layer]
        return self._layers[layer]

    def unreported(self) -> list[PullProgress]:
        return [self._layers[layer] for layer in self._changed]
