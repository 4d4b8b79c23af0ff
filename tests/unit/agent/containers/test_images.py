import io
import tarfile
import time
from collections.abc import Iterator

import pytest

from agent.execute.containers import Containers, pulling
from agent.execute.failure import CommandFailedError
from flotilla.v1.command_pb2 import CommandResponse, ImageList
from tests.fixtures.engine import IMAGE, Engine
from tests.fixtures.registry import Registry, serving
from tests.unit.agent.containers.answers import asked, refused
from tests.unit.agent.containers.conftest import MAY_ALL

BAD_REFERENCES = (
    *("../../containers/json", "x?force=1", "-", "", "UPPER", "a..b", "a/../b", "a b", "a\n"),
    *("a#b", "a%2fb", "/a", "a/", "a:", "a@sha256:short", "a" * 257, "http://host/a", "ä"),
)


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
    registry: Registry, running: Engine, containers: Containers, changes: list[None]
) -> None:
    reference = registry.add("team/app", "1", [layer("one", 3_000_000), layer("two", 2_000_000)])

    began = time.monotonic()
    answer = await asked(containers, "PULL", reference)
    took = time.monotonic() - began

    assert "Downloaded newer image" in answer.last.pull.status
    states = [part.pull for part in answer.parts]
    layers = {state.layer: state for state in states if "complete" in state.status}
    assert len(layers) >= 2
    # While it goes on at most five words a second; then each layer's last.
    assert len(states) <= took / pulling.INTERVAL + 1 + len({state.layer for state in states})
    assert tagged((await asked(containers, "IMAGES")).last.images, reference)
    assert len(changes) == 1
    again = await asked(containers, "PULL", reference)
    assert "up to date" in again.last.pull.status


async def test_without_a_tag_only_the_latest_is_pulled(
    registry: Registry, containers: Containers
) -> None:
    registry.add("alone", "latest", [layer("x", 10)])
    registry.add("alone", "other", [layer("y", 10)])
    name = f"{registry.address}/alone"

    await asked(containers, "PULL", name)

    images = (await asked(containers, "IMAGES")).last.images
    assert tagged(images, f"{name}:latest")
    assert not tagged(images, f"{name}:other")


async def test_an_image_that_no_registry_has_is_not_found(
    registry: Registry, containers: Containers
) -> None:
    kind, reason = await refused(containers, "PULL", f"{registry.address}/team/none:1")

    assert kind == "NOT_FOUND"
    assert "the Docker engine says" in reason


async def test_a_registry_that_is_not_there_is_unavailable(containers: Containers) -> None:
    kind, reason = await refused(containers, "PULL", "127.0.0.1:1/team/app:1")

    assert kind == "UNAVAILABLE"
    assert "connection refused" in reason


async def test_a_pull_that_breaks_off_is_no_success(
    registry: Registry, running: Engine, containers: Containers
) -> None:
    reference = registry.add("team/broken", "1", [layer("big", 1_000_000)])
    for path, (kind, content) in registry.contents.items():
        if "/team/broken/blobs/" in path and len(content) > 100_000:
            registry.contents[path] = kind, content[:-1] + b"?"

    with pytest.raises(CommandFailedError):
        await asked(containers, "PULL", reference)

    assert not tagged((await asked(containers, "IMAGES")).last.images, reference)


@pytest.mark.parametrize("reference", BAD_REFERENCES)
@pytest.mark.parametrize("operation", ["PULL", "REMOVE_IMAGE"])
async def test_what_is_no_reference_reaches_no_engine(operation: str, reference: str) -> None:
    def untouched() -> None:
        raise AssertionError("the engine was asked")

    containers = Containers(MAY_ALL, untouched, lambda: None)  # type: ignore[arg-type]

    assert (await refused(containers, operation, reference))[0] == "INVALID"


async def test_images_say_how_large_they_are_and_who_uses_them(
    running: Engine, containers: Containers
) -> None:
    before = tagged((await asked(containers, "IMAGES")).last.images, IMAGE)
    name = running.docker("create", IMAGE, "/bin/sh")

    image = tagged((await asked(containers, "IMAGES")).last.images, IMAGE)

    assert image
    assert before
    assert image.containers == before.containers + 1
    assert image.id.startswith("sha256:")
    assert image.size_bytes > 500_000
    assert time.time() - image.created_at_unix_ms / 1000 < 600
    running.docker("rm", name)


async def test_an_image_in_use_is_not_removed(running: Engine, containers: Containers) -> None:
    running.docker("tag", IMAGE, "spare:1")
    name = running.docker("run", "--detach", "spare:1", "/bin/sleep", "100")
    (image,) = {
        i.id for i in (await asked(containers, "IMAGES")).last.images.images if IMAGE in i.tags
    }

    kind, _ = await refused(containers, "REMOVE_IMAGE", image)
    assert kind == "CONFLICT"
    await asked(containers, "REMOVE_IMAGE", "spare:1", force=True)

    images = (await asked(containers, "IMAGES")).last.images
    assert not tagged(images, "spare:1")
    assert tagged(images, IMAGE)
    assert (await refused(containers, "REMOVE_IMAGE", "spare:1"))[0] == "NOT_FOUND"
    running.docker("rm", "--force", name)


async def test_only_images_without_a_name_are_pruned(
    running: Engine, containers: Containers
) -> None:
    nameless = running.docker("import", "-", content=layer("dangling", 500_000))
    running.docker("import", "-", "unused:1", content=layer("unused", 1_000))
    listed = (await asked(containers, "IMAGES")).last.images.images
    nobodys = [image for image in listed if not image.tags and not image.containers]

    pruned = (await asked(containers, "PRUNE_IMAGES")).last.pruned

    assert pruned.images == len(nobodys), "layers are no images"
    assert pruned.reclaimed_bytes >= 500_000
    images = (await asked(containers, "IMAGES")).last.images
    assert nameless not in {image.id for image in images.images}
    assert tagged(images, "unused:1")
    assert (await asked(containers, "PRUNE_IMAGES")).last.pruned.images == 0


async def test_progress_keeps_the_newest_state_of_each_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = pulling._Progress()
    said: list[CommandResponse] = []
    for step in range(1_000):
        now += 0.01
        progress.take({"id": f"layer{step % 3}", "progressDetail": {"current": step}})
        if state := progress.due():
            said.append(CommandResponse(pull=state))

    assert len(said) == 50  # ten seconds, five a second
    current = [part.pull.current_bytes for part in said]
    assert current == sorted(current)
    assert {part.pull.layer for part in said} == {"layer0", "layer1", "layer2"}
    assert max(state.current_bytes for state in progress.changed()) == 999
