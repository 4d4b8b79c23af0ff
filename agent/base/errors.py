class AgentError(Exception):
    """A problem that a person can solve. Its text is shown to that person."""

    exit_code = 1


class ConfigError(AgentError):
    """A setting in a file is wrong. `problem` follows the name of the key in a sentence."""

    exit_code = 2

    def __init__(self, key: str, problem: str, source: str) -> None:
        super().__init__(f"{source}: {key} {problem}.")
        self.key = key
        self.problem = problem


class NotEnrolledError(AgentError):
    exit_code = 3


class EnrolmentError(AgentError):
    pass


class StreamError(AgentError):
    """The stream cannot be used any more and has to be opened again."""


class StorageError(AgentError):
    """The disk does not store or return data at present."""


class StorageFullError(StorageError):
    """The disk returns data but has no space for more."""


class StorageDamagedError(AgentError):
    """The content of a file is not valid."""


class ItemDamagedError(AgentError):
    """A stored measurement cannot be read."""
