"""Files of a server, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from flotilla.v1 import command_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999  # of the year 9999; a file may say it is of any time
FIRST_MS = -62_135_596_800_000  # of the year 1

# Lone surrogates never come this far: JSON and query strings are read as UTF-8.
Path = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        pattern=r"^/[^\x00]*$",
        description="Absolute, on the server",
    ),
]
EntryName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]
UploadId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class FileEntry(Struct):
    name: str
    kind: Literal["file", "directory", "link", "other"]
    size_bytes: int
    mode: Annotated[int, Meta(description="Permission bits")]
    user_id: int
    group_id: int
    owner: Annotated[str, Meta(description="Empty when the server has no name for it")]
    group: Annotated[str, Meta(description="As `owner`")]
    modified_at: datetime
    link_target: Annotated[str, Meta(description="What a symbolic link says; empty otherwise")]
    version: Annotated[str, Meta(description="Changes whenever the file does")]


KINDS: dict[int, Literal["file", "directory", "link", "other"]] = {
    command_pb2.FileEntry.KIND_FILE: "file",
    command_pb2.FileEntry.KIND_DIRECTORY: "directory",
    command_pb2.FileEntry.KIND_LINK: "link",
}


def entry_of(entry: command_pb2.FileEntry) -> FileEntry:
    """As an agent tells it."""
    modified = min(max(entry.modified_at_unix_ms, FIRST_MS), LAST_MS)
    return FileEntry(
        name=entry.name,
        kind=KINDS.get(entry.kind, "other"),
        size_bytes=entry.size_bytes,
        mode=entry.mode,
        user_id=entry.user_id,
        group_id=entry.group_id,
        owner=entry.owner,
        group=entry.group,
        modified_at=EPOCH + timedelta(milliseconds=modified),
        link_target=entry.link_target,
        version=entry.version,
    )


class FileListing(Struct):
    path: str
    entries: Annotated[list[FileEntry], Meta(description="Folders first, then by name")]
    truncated: Annotated[bool, Meta(description="There are more than are listed")]


class FileChecksum(Struct):
    sha256: str
    size_bytes: int
    version: str


class FileContent(Struct):
    path: str
    content: str
    version: str
    size_bytes: int


class FileEdit(Struct, forbid_unknown_fields=True):
    content: str
    # Null where it must not be there yet.
    version: Annotated[str, Meta(min_length=1, max_length=64)] | None


class UploadState(Struct):
    received_bytes: int


class Uploaded(Struct):
    received_bytes: int
    complete: bool
    sha256: str | None
    entry: FileEntry | None


class FilePath(Struct, forbid_unknown_fields=True):
    path: Path


class FileMove(Struct, forbid_unknown_fields=True):
    path: Path
    destination: Path
    overwrite: bool = False


class FileMode(Struct, forbid_unknown_fields=True):
    path: Path
    mode: Annotated[int, Meta(ge=0, le=0o7777)]
    recursive: bool = False


class FileOwner(Struct, forbid_unknown_fields=True):
    """Names or numbers; empty to leave as it is."""

    path: Path
    owner: Annotated[str, Meta(max_length=64)] = ""
    group: Annotated[str, Meta(max_length=64)] = ""
    recursive: bool = False


class FileArchive(Struct, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="The folder that `names` are in")]
    names: Annotated[list[EntryName], Meta(min_length=1, max_length=1000)]
    destination: Path
    overwrite: bool = False


class DownloadTicket(Struct):
    ticket: str
    expires_at: datetime
