from agent import engine

engine.load()  # before anything imports the library by itself

from agent.execute.containers.containers import Containers  # noqa: E402

__all__ = ["Containers"]
