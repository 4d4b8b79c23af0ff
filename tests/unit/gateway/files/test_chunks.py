import pytest

from flotilla.v1.command_pb2 import CommandResponse, FileAction, FileChunk
from services.gateway.files.chunks import (
    CHUNK_SIZE,
    MAX_IN_FLIGHT,
    ChangedError,
    FileCaller,
    Upload,
    download,
)

FILE = bytes(range(256)) * (3 * CHUNK_SIZE // 256) + b"rest"


class MemoryAgent(FileCaller):
    """An agent whose only file is in memory, at version `v1`."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.version = "v1"
        self.offsets: list[int] = []

    async def call_idempotent(self, action: FileAction) -> CommandResponse:
        self.offsets.append(action.offset)
        if action.operation == FileAction.OPERATION_READ:
            data = bytes(self.content[action.offset : action.offset + action.length])
            return CommandResponse(chunk=FileChunk(data=data, version=self.version))
        self.content[action.offset :] = action.data
        return CommandResponse(received_bytes=len(self.content))

    def progressed(self) -> None:
        pass


@pytest.mark.parametrize("size", [1000, CHUNK_SIZE, CHUNK_SIZE + 1, len(FILE)])
async def test_bytes_are_uploaded_in_whole_chunks_however_they_come(size: int) -> None:
    agent = MemoryAgent()
    async with Upload(agent, "/f", "id", 0) as upload:
        for at in range(0, len(FILE), size):
            await upload.write(FILE[at : at + size])
            assert upload.next_offset == min(at + size, len(FILE))
        assert await upload.flush() == len(FILE)
    assert agent.content == FILE
    assert agent.offsets == [0, CHUNK_SIZE, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE]


async def test_an_upload_continues_at_its_offset() -> None:
    agent = MemoryAgent(FILE[:100])
    async with Upload(agent, "/f", "id", 100) as upload:
        assert upload.next_offset == 100
        await upload.write(FILE[100:])
        assert await upload.flush() == len(FILE)
    assert agent.content == FILE
    assert agent.offsets[0] == 100


async def test_an_empty_file_is_uploaded_as_one_empty_chunk() -> None:
    agent = MemoryAgent()
    async with Upload(agent, "/f", "id", 0) as upload:
        assert await upload.flush() == 0
    assert agent.offsets == [0]


@pytest.mark.parametrize(
    ("start", "end"), [(0, len(FILE)), (0, 0), (5, 6), (CHUNK_SIZE - 1, 2 * CHUNK_SIZE + 1)]
)
async def test_a_download_yields_exactly_the_bytes_of_its_range(start: int, end: int) -> None:
    agent = MemoryAgent(FILE)
    blocks = download(agent, "/f", start=start, end=end, first=FileChunk(version="v1"))
    assert b"".join([block async for block in blocks]) == FILE[start:end]


async def test_a_download_reads_no_more_than_a_few_chunks_ahead() -> None:
    agent = MemoryAgent(bytes(20 * CHUNK_SIZE))
    blocks = download(agent, "/f", start=0, end=20 * CHUNK_SIZE, first=FileChunk(version="v1"))
    await anext(blocks)
    assert len(agent.offsets) == MAX_IN_FLIGHT
    await blocks.aclose()


async def test_a_download_ends_with_an_error_when_the_file_changes() -> None:
    agent = MemoryAgent(bytes(20 * CHUNK_SIZE))
    blocks = download(agent, "/f", start=0, end=20 * CHUNK_SIZE, first=FileChunk(version="v1"))
    await anext(blocks)
    agent.version = "v2"
    with pytest.raises(ChangedError, match="changed during the download"):
        async for _ in blocks:
            pass


async def test_a_download_ends_with_an_error_when_the_file_shrinks() -> None:
    agent = MemoryAgent(FILE)
    blocks = download(agent, "/f", start=0, end=len(FILE) + 1, first=FileChunk(version="v1"))
    with pytest.raises(ChangedError):
        async for _ in blocks:
            pass
