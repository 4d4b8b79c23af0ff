"""Imports on demand of packages that only one extra of the distribution installs."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from services.kit.errors import FlotillaError

OWN_PACKAGES = frozenset({"services", "flotilla"})


class MissingExtraError(FlotillaError):
    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f'{what} needs the packages of the extra "{extra}": pip install "flotilla[{extra}]".'
        )


def resolve(path: str) -> Any:
    """Import the object that `module:attribute` names."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Explain which extra is missing if an import inside fails.

    Raises:
        MissingExtraError: an import inside failed because a third-party package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN_PACKAGES:
            raise
        raise MissingExtraError(what, extra) from error
