"""Imports of libraries without those of their modules that the agent does not use."""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


class _UnusedError(Exception):
    """Stands for every name of an unused module: a function, a class or an exception."""

    def __init__(self, *_: object) -> None:
        raise _UnusedError.__new__(_UnusedError)


class _UnusedModule(types.ModuleType):
    def __getattr__(self, name: str) -> type[_UnusedError]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _UnusedError


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Give imports of these modules an empty stand-in inside the block."""
    saved = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update({name: _UnusedModule(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(saved)
