"""Request and response bodies of files."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from flotilla.v1 import command_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A file may have any modification time; `datetime` ends at these.
MAX_UNIX_MS = 253_402_300_799_999  # the end of the year 9999
MIN_UNIX_MS = -62_135_596_800_000  # the start of the year 1

# Agents make and read this form (`agent/files/names.py`); the gateway passes it on.
BYTES_AS_CHARACTERS = (
    "A byte of a name that is not UTF-8 is a character from U+EF80 (0x80) to U+EFFF (0xFF)."
)
PATH_DESCRIPTION = f"Absolute path on the server. {BYTES_AS_CHARACTERS}"
# Lone surrogates need no check: JSON and query strings are decoded as UTF-8 before.
Path = Annotated[
    str,
    Meta(min_length=1, max_length=4096, pattern=r"^/[^\x00]*$", description=PATH_DESCRIPTION),
]
EntryName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]


class FileEntry(Struct):
    name: Annotated[str, Meta(description=BYTES_AS_CHARACTERS)]
    kind: Literal["file", "directory", "link", "other"]
    size_bytes: int
    mode: Annotated[int, Meta(description="Permission bits")]
    user_id: int
    group_id: int
    owner: Annotated[
        str, Meta(description="User name; empty when the server knows none for `user_id`")
    ]
    group: Annotated[
        str, Meta(description="Group name; empty when the server knows none for `group_id`")
    ]
    modified_at: datetime
    link_target: Annotated[str, Meta(description="Target of a symbolic link; else empty")]
    version: Annotated[str, Meta(description="Changes whenever the file changes")]


KINDS: dict[int, Literal["file", "directory", "link", "other"]] = {
    command_pb2.FileEntry.KIND_FILE: "file",
    command_pb2.FileEntry.KIND_DIRECTORY: "directory",
    command_pb2.FileEntry.KIND_LINK: "link",
}


def entry_of(entry: command_pb2.FileEntry) -> FileEntry:
    """Convert an agent's entry to the API's."""
    modified = min(max(entry.modified_at_unix_ms, MIN_UNIX_MS), MAX_UNIX_MS)
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
    truncated: Annotated[bool, Meta(description="The folder has more entries than are listed")]


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
    version: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="The version that was edited; null for a file that must not exist yet",
            ),
        ]
        | None
    )


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
    """Owner and group, as names or numbers; an empty one stays as it is."""

    path: Path
    owner: Annotated[str, Meta(max_length=64)] = ""
    group: Annotated[str, Meta(max_length=64)] = ""
    recursive: bool = False


class FileArchive(Struct, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="The folder that holds `names`")]
    names: Annotated[list[EntryName], Meta(min_length=1, max_length=1000)]
    destination: Path
    overwrite: bool = False


class DownloadTicket(Struct):
    ticket: str
    expires_at: datetime
