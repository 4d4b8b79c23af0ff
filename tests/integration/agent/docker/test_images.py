import io
import tarfile
import time
from collections.abc import Iterator

import pytest

from agent.commands.errors import CommandFailedError
from agent.docker.actions import DockerActions
from flotilla.v1.command_pb2 import ImageList
from tests.fixtures.agent.docker_actions import failure_of, run_action
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.registry import Registry, serving


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


def layer(name: str, size: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = size
        tar.addfile(entry, io.BytesIO(name.encode() * (size // len(name) + 1)))
    return packed.getvalue()


def tagged(listed: ImageList, tag: str) -> ImageList.Image | None:
    return next((image for image in listed.images if tag in image.tags), None)


async def test_an_image_is_pulled_with_its_progress(
    registry: Registry, running: Engine, docker: DockerActions, changes: list[None]
) -> None:
    reference = registry.add("team/app", "1", [layer("one", 3_000_000), layer("two", 2_000_000)])

    answer = await run_action(docker, "PULL", reference)

    assert "Downloaded newer image" in answer.last.pull.status
    states = [part.pull for part in answer.parts]
    layers = {state.layer: state for state in states if "complete" in state.status}
    assert len(layers) >= 2
    assert tagged((await run_action(docker, "IMAGES")).last.images, reference)
    assert len(changes) == 1
    again = await run_action(docker, "PULL", reference)
    assert "up to date" in again.last.pull.status


async def test_without_a_tag_only_the_latest_is_pulled(
    registry: Registry, docker: DockerActions
) -> None:
    registry.add("alone", "latest", [layer("x", 10)])
    registry.add("alone", "other", [layer("y", 10)])
    name = f"{registry.address}/alone"

    await run_action(docker, "PULL", name)

    images = (await run_action(docker, "IMAGES")).last.images
    assert tagged(images, f"{name}:latest")
    assert not tagged(images, f"{name}:other")


async def test_an_image_that_no_registry_has_is_not_found(
    registry: Registry, docker: DockerActions
) -> None:
    kind, reason = await failure_of(docker, "PULL", f"{registry.address}/team/none:1")

    assert kind == "NOT_FOUND"
    assert "The Docker engine reports" in reason


async def test_a_registry_that_is_not_there_is_unavailable(docker: DockerActions) -> None:
    kind, reason = await failure_of(docker, "PULL", "127.0.0.1:1/team/app:1")

    assert kind == "UNAVAILABLE"
    assert "connection refused" in reason


async def test_a_pull_that_breaks_off_is_no_success(
    registry: Registry, running: Engine, docker: DockerActions
) -> None:
    reference = registry.add("team/broken", "1", [layer("big", 1_000_000)])
    for path, (kind, content) in registry.contents.items():
        if "/team/broken/blobs/" in path and len(content) > 100_000:
            registry.contents[path] = kind, content[:-1] + b"?"

    with pytest.raises(CommandFailedError):
        await run_action(docker, "PULL", reference)

    assert not tagged((await run_action(docker, "IMAGES")).last.images, reference)


async def test_images_say_how_large_they_are_and_who_uses_them(
    running: Engine, docker: DockerActions
) -> None:
    before = tagged((await run_action(docker, "IMAGES")).last.images, IMAGE)
    name = running.docker("create", IMAGE, "/bin/sh")

    image = tagged((await run_action(docker, "IMAGES")).last.images, IMAGE)

    assert image
    assert before
    assert image.containers == before.containers + 1
    assert image.id.startswith("sha256:")
    assert image.size_bytes > 500_000
    assert time.time() - image.created_at_unix_ms / 1000 < 600
    running.docker("rm", name)


async def test_an_image_in_use_is_not_removed(running: Engine, docker: DockerActions) -> None:
    running.docker("tag", IMAGE, "spare:1")
    name = running.docker("run", "--detach", "spare:1", "/bin/sleep", "100")
    (image,) = {
        i.id for i in (await run_action(docker, "IMAGES")).last.images.images if IMAGE in i.tags
    }

    kind, _ = await failure_of(docker, "REMOVE_IMAGE", image)
    assert kind == "CONFLICT"
    await run_action(docker, "REMOVE_IMAGE", "spare:1", force=True)

    images = (await run_action(docker, "IMAGES")).last.images
    assert not tagged(images, "spare:1")
    assert tagged(images, IMAGE)
    assert (await failure_of(docker, "REMOVE_IMAGE", "spare:1"))[0] == "NOT_FOUND"
    running.docker("rm", "--force", name)


async def test_only_images_without_a_name_are_pruned(
    running: Engine, docker: DockerActions
) -> None:
    nameless = running.docker("import", "-", content=layer("dangling", 500_000))
    running.docker("import", "-", "unused:1", content=layer("unused", 1_000))
    listed = (await run_action(docker, "IMAGES")).last.images.images
    nobodys = [image for image in listed if not image.tags and not image.containers]

    pruned = (await run_action(docker, "PRUNE_IMAGES")).last.pruned

    assert pruned.images == len(nobodys), "layers are no images"
    assert pruned.reclaimed_bytes >= 500_000
    images = (await run_action(docker, "IMAGES")).last.images
    assert nameless not in {image.id for image in images.images}
    assert tagged(images, "unused:1")
    assert (await run_action(docker, "PRUNE_IMAGES")).last.pruned.images == 0
