from collections import Counter
from typing import TYPE_CHECKING

from agent.docker.client import clean_text
from agent.docker.engine_errors import translate_engine_errors
from agent.docker.identifiers import ImageName
from flotilla.v1.command_pb2 import ImageList, ImagesPruned

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

IMAGE_LIMIT = 500
TAG_LIMIT = 16
LIST_BYTES = 256 * 1024
COUNTED_CONTAINERS = 1_000


async def list_images(engine: "Engine") -> ImageList:
    """Return the newest images and the number of their containers.

    Raises:
        CommandFailedError: the engine failed or does not answer.
    """
    with translate_engine_errors():
        records = await engine.images.list()
        containers = await engine.containers.list(all="1", limit=COUNTED_CONTAINERS)
    used = Counter(container._container.get("ImageID") for container in containers)  # noqa: SLF001  # the record of the list
    records.sort(key=lambda record: -int(record.get("Created") or 0))
    listed = ImageList(truncated=len(records) > IMAGE_LIMIT)
    for record in records[:IMAGE_LIMIT]:
        tags = [tag for tag in record.get("RepoTags") or [] if tag != "<none>:<none>"]
        listed.images.add(
            id=record["Id"],
            tags=[clean_text(tag) for tag in tags[:TAG_LIMIT]],
            size_bytes=max(int(record.get("Size") or 0), 0),
            created_at_unix_ms=max(int(record.get("Created") or 0), 0) * 1000,
            containers=used[record["Id"]],
        )
    while listed.ByteSize() > LIST_BYTES:
        listed.truncated = True
        del listed.images[-50:]
    return listed


async def remove_image(engine: "Engine", image: ImageName, *, force: bool) -> None:
    """Raises: CommandFailedError: the image does not exist, or it is in use."""
    with translate_engine_errors():
        await engine.images.delete(image, force=force)


async def prune_images(engine: "Engine") -> ImagesPruned:
    """Remove images without a name and without a container.

    Raises:
        CommandFailedError: the engine is pruning already.
    """
    with translate_engine_errors():
        images = {record["Id"] for record in await engine.images.list()}
        result = await engine.images.prune(filters={"dangling": ["true"]})
    # The engine lists deleted layers in the same way.
    deleted = images & {entry.get("Deleted") for entry in result.get("ImagesDeleted") or []}
    reclaimed = max(int(result.get("SpaceReclaimed") or 0), 0)
    return ImagesPruned(images=len(deleted), reclaimed_bytes=reclaimed)
