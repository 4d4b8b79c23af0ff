"""Time limits of a command, from its signature until it counts as lost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandTiming:
    """Time limits of the steps of a command, in seconds.

    A command that runs a script has the longest life:

        0                        The gateway signs the command and sends it.
        0 + lifetime             The command expires: an agent that has not started it refuses it.
        t                        The agent starts the script.
        t + timeout              The agent kills the script. `timeout` is part of the command and
                                 at most `max_timeout`.
        ... + answer_grace       The gateway stops waiting for the answer to this request.
        ... + forget_grace       The edge forgets where to send the answer. It waits longer than
                                 the gateway, so it never drops an answer that is expected.
        ... + return_patience    The gateway stops repeating the command: the script is lost.

    While the answer is incomplete, the gateway repeats the command after `repeat_first`, then
    after growing pauses of at most `repeat_most`. The agent executes a command once. It answers a
    repeat with the output of the first execution.

    A gateway that follows a run renews its claim every `heartbeat`. After `silence` without a
    heartbeat, another gateway takes the run over. It does not start the script on servers that
    waited longer than `queue_patience` for a gateway, and it does not repeat commands that were
    started more than `resume_limit` ago.
    """

    clock_slack: float = 10.0
    """Allowed difference between the clocks of the agent and the gateway."""
    lifetime: float = 30.0
    max_timeout: float = 3_600.0
    answer_grace: float = 10.0
    forget_grace: float = 20.0
    return_patience: float = 60.0
    repeat_first: float = 1.0
    repeat_most: float = 5.0
    heartbeat: float = 5.0
    silence: float = 20.0
    queue_patience: float = 600.0
    resume_limit: float = 86_400.0

    def __post_init__(self) -> None:
        assert self.forget_grace > self.answer_grace
        assert self.silence > self.heartbeat

    def patience(self, timeout: float) -> float:
        """Return for how many seconds the gateway follows a script with this timeout."""
        return timeout + self.answer_grace + self.return_patience


DEFAULT_TIMING = CommandTiming()
