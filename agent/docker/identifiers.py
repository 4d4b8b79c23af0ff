"""Validation of identifiers before they become part of a call to the Docker engine."""

import re
from typing import NewType

from agent.commands.errors import invalid

REFERENCE_LIMIT = 256  # characters

ContainerId = NewType("ContainerId", str)
ImageName = NewType("ImageName", str)

_CONTAINER = re.compile(r"[0-9a-f]{12,64}")
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")
# https://pkg.go.dev/github.com/distribution/reference#pkg-overview, without IPv6 literals.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_PATH = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def container_id(text: str) -> ContainerId:
    """Raises: CommandFailedError: the text is not an id."""
    if not _CONTAINER.fullmatch(text):
        raise invalid("A container id must have 12 to 64 hexadecimal digits.")
    return ContainerId(text)


def image_reference(text: str) -> ImageName:
    """Raises: CommandFailedError: the text is not a reference."""
    if len(text) > REFERENCE_LIMIT or not _REFERENCE.fullmatch(text):
        raise invalid(
            'An image must be named like "nginx:1.27" or "registry.example/team/app:2", in at most'
            f" {REFERENCE_LIMIT} characters."
        )
    return ImageName(text)


def image_name(text: str) -> ImageName:
    """Validate the id of an existing image, or a reference to it.

    Raises:
        CommandFailedError: the text is neither.
    """
    return ImageName(text) if _IMAGE_ID.fullmatch(text) else image_reference(text)
