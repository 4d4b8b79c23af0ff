class AgentError(Exception):
    """What a person can put right; its text is shown as it stands."""

    exit_code = 1


class ConfigError(AgentError):
    exit_code = 2

    def __init__(self, key: str, problem: str, source: str) -> None:
        super().__init__(f"{source}: {key}: {problem}")
        self.key = key
        self.problem = problem


class NotEnrolledError(AgentError):
    exit_code = 3


class EnrolmentError(AgentError):
    pass


class StreamError(AgentError):
    """The stream has to be opened anew."""


class SpoolError(AgentError):
    """The disk neither takes nor gives at present."""


class SpoolFullError(SpoolError):
    """The disk gives but has no room for more."""


class SpoolDamagedError(AgentError):
    """The file cannot be relied upon."""


class ItemDamagedError(AgentError):
    """What was measured cannot be read any more."""


class LedgerError(AgentError):
    """The disk does not take what was executed, or does not give it."""


class LedgerDamagedError(AgentError):
    """The file cannot be relied upon."""
