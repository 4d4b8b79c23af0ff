"""A server's images."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, DockerAction, PullProgress
from services.gateway import container_records as records
from services.gateway import errors
from services.gateway.commands import NDJSON
from services.gateway.container_schemas import IMAGE_PATTERN, ImagePage, Pruned, Pull, PullLine
from services.gateway.containers import find
from services.gateway.guard import ACTION, AuthedRequest
from services.gateway.orders import order, order_parts
from services.gateway.runtime import UseRuntime
from services.kit.access import Action

LOOK_TIMEOUT = 20.0  # seconds
REMOVE_TIMEOUT = 60.0  # seconds
PRUNE_TIMEOUT = 600.0  # seconds
PULL_TIMEOUT = 3_600.0  # seconds

ImageId = Annotated[str, Parameter(pattern=IMAGE_PATTERN, max_length=71)]


class ImageController(Controller):
    path = "/vps/{vps_id:uuid}/docker/images"
    tags = ("Docker",)

    @get(operation_id="listImages", summary="Images", opt={ACTION: Action.DOCKER_READ})
    async def list(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> ImagePage:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(operation=DockerAction.OPERATION_IMAGES)
        response = await order(
            request, runtime, vps, timeout=LOOK_TIMEOUT, repeated=True, docker=action
        )
        return records.images(response.images)

    @post(
        "/pull",
        operation_id="pullImage",
        summary="Pull an image, and follow it line by line",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.DOCKER_ACT},
        responses={
            HTTP_200_OK: ResponseSpec(
                PullLine,
                description="JSON, one object a line",
                media_type=NDJSON,
                generate_examples=False,
            )
        },
    )
    async def pull(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[Pull],
        runtime: UseRuntime,
    ) -> Stream:
        """It is pulled to its end though the client goes away."""
        vps = await find(request, runtime, vps_id)
        action = DockerAction(operation=DockerAction.OPERATION_PULL, target=data.reference)
        parts = order_parts(request, runtime, vps, timeout=PULL_TIMEOUT, docker=action)
        # What is refused at once is answered as any other request.
        first = await anext(parts)
        return Stream(_lines(first, parts), media_type=NDJSON)

    @post(
        "/prune",
        operation_id="pruneImages",
        summary="Remove images that have no name and no container",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def prune(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> Pruned:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(operation=DockerAction.OPERATION_PRUNE_IMAGES)
        response = await order(request, runtime, vps, timeout=PRUNE_TIMEOUT, docker=action)
        return Pruned(response.pruned.images, response.pruned.reclaimed_bytes)

    @delete(
        "/{image_id:str}",
        operation_id="removeImage",
        summary="Remove an image",
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def remove(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        image_id: ImageId,
        runtime: UseRuntime,
        *,
        force: Annotated[bool, Parameter(description="All its names")] = False,
    ) -> None:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(
            operation=DockerAction.OPERATION_REMOVE_IMAGE, target=image_id, force=force
        )
        await order(request, runtime, vps, timeout=REMOVE_TIMEOUT, docker=action)


async def _lines(
    first: CommandResponse, parts: AsyncGenerator[CommandResponse, None]
) -> AsyncGenerator[bytes, None]:
    ended = PullLine(event="finished")
    async with aclosing(parts):
        yield _progress(first.pull)
        try:
            async for part in parts:
                yield _progress(part.pull)
        except errors.RequestError as error:
            ended = PullLine(event="failed", reason=str(error))
    yield _line(ended)


def _progress(pull: PullProgress) -> bytes:
    return _line(
        PullLine(
            layer=pull.layer,
            status=pull.status,
            current_bytes=pull.current_bytes,
            total_bytes=pull.total_bytes,
        )
    )


def _line(line: PullLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"
