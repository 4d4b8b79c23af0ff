"""Images of a server: their list, pull, removal and pruning."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.params import JSONBody, Parameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, DockerAction, PullProgress
from services.gateway.api import errors, ndjson
from services.gateway.api.rules import ACTION
from services.gateway.docker import mapping as container_mapping
from services.gateway.docker.schemas import IMAGE_PATTERN, ImagePage, Pruned, Pull, PullLine
from services.gateway.servers.agent_calls import UseAgent
from services.kit.access import Action

READ_TIMEOUT = 20.0  # seconds
REMOVE_TIMEOUT = 60.0  # seconds
PRUNE_TIMEOUT = 600.0  # seconds
PULL_TIMEOUT = 3_600.0  # seconds

ImageId = Annotated[str, Parameter(pattern=IMAGE_PATTERN, max_length=71)]


class ImageController(Controller):
    path = "/vps/{vps_id:uuid}/docker/images"
    tags = ("Docker",)

    @get(operation_id="listImages", summary="List images", opt={ACTION: Action.DOCKER_READ})
    async def list(self, agent: UseAgent) -> ImagePage:
        action = DockerAction(operation=DockerAction.OPERATION_IMAGES)
        response = await agent.call(timeout=READ_TIMEOUT, repeated=True, docker=action)
        return container_mapping.images(response.images)

    @post(
        "/pull",
        operation_id="pullImage",
        summary="Pull an image, and stream the progress line by line",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.DOCKER_ACT},
        responses={HTTP_200_OK: ndjson.response_spec(PullLine)},
    )
    async def pull(
        self,
        data: JSONBody[Pull],
        agent: UseAgent,
    ) -> Stream:
        """The pull goes on to its end even if the client disconnects."""
        action = DockerAction(operation=DockerAction.OPERATION_PULL, target=data.reference)
        parts = agent.call_parts(timeout=PULL_TIMEOUT, docker=action)
        # Wait for the first part, so that a refusal is answered with a problem, not with a stream.
        first = await anext(parts)
        return Stream(_lines(first, parts), media_type=ndjson.MEDIA_TYPE)

    @post(
        "/prune",
        operation_id="pruneImages",
        summary="Remove images that have no tag and no container",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def prune(self, agent: UseAgent) -> Pruned:
        action = DockerAction(operation=DockerAction.OPERATION_PRUNE_IMAGES)
        response = await agent.call(timeout=PRUNE_TIMEOUT, docker=action)
        return Pruned(response.pruned.images, response.pruned.reclaimed_bytes)

    @delete(
        "/{image_id:str}",
        operation_id="removeImage",
        summary="Remove an image",
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def remove(
        self,
        image_id: ImageId,
        agent: UseAgent,
        *,
        force: Annotated[
            bool, Parameter(description="Also remove an image that has several tags")
        ] = False,
    ) -> None:
        action = DockerAction(
            operation=DockerAction.OPERATION_REMOVE_IMAGE, target=image_id, force=force
        )
        await agent.call(timeout=REMOVE_TIMEOUT, docker=action)


async def _lines(
    first: CommandResponse, parts: AsyncGenerator[CommandResponse, None]
) -> AsyncGenerator[bytes, None]:
    last_line = PullLine(event="finished")
    async with aclosing(parts):
        yield _progress(first.pull)
        try:
            async for part in parts:
                yield _progress(part.pull)
        except errors.RequestError as error:
            last_line = PullLine(event="failed", reason=str(error), type=error.type)
    yield ndjson.encode(last_line)


def _progress(pull: PullProgress) -> bytes:
    return ndjson.encode(
        PullLine(
            layer=pull.layer,
            status=pull.status,
            current_bytes=pull.current_bytes,
            total_bytes=pull.total_bytes,
        )
    )
