from collections import Counter
from typing import TYPE_CHECKING

from agent.engine import text_of
from agent.execute.containers.answers import translated
from agent.execute.containers.checks import ImageName
from flotilla.v1.command_pb2 import ImageList, ImagesPruned

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

IMAGE_LIMIT = 500
TAG_LIMIT = 16
LIST_BYTES = 256 * 1024
COUNTED_CONTAINERS = 1_000


async def list_images(engine: "Engine") -> ImageList:
    """Raises: CommandFailedError."""
    with translated():
        records = await engine.images.list()
        containers = await engine.containers.list(all="1", limit=COUNTED_CONTAINERS)
    used = Counter(container._container.get("ImageID") for container in containers)  # noqa: SLF001  # all that was told of it
    records.sort(key=lambda record: -int(record.get("Created") or 0))
    listed = ImageList(truncated=len(records) > IMAGE_LIMIT)
    for record in records[:IMAGE_LIMIT]:
        tags = [tag for tag in record.get("RepoTags") or [] if tag != "<none>:<none>"]
        listed.images.add(
            id=record["Id"],
            tags=[text_of(tag) for tag in tags[:TAG_LIMIT]],
            size_bytes=max(int(record.get("Size") or 0), 0),
            created_at_unix_ms=max(int(record.get("Created") or 0), 0) * 1000,
            containers=used[record["Id"]],
        )
    while listed.ByteSize() > LIST_BYTES:
        listed.truncated = True
        del listed.images[-50:]
    return listed


async def remove_image(engine: "Engine", image: ImageName, *, force: bool) -> None:
    """Raises: CommandFailedError: there is no such image, or it is used."""
    with translated():
        await engine.images.delete(image, force=force)


async def prune_images(engine: "Engine") -> ImagesPruned:
    """Only those that have no name and no container.

    Raises:
        CommandFailedError: the engine does so already.
    """
    with translated():
        images = {record["Id"] for record in await engine.images.list()}
        answer = await engine.images.prune(filters={"dangling": ["true"]})
    # The engine tells of layers in the same words.
    deleted = images & {entry.get("Deleted") for entry in answer.get("ImagesDeleted") or []}
    reclaimed = max(int(answer.get("SpaceReclaimed") or 0), 0)
    return ImagesPruned(images=len(deleted), reclaimed_bytes=reclaimed)
