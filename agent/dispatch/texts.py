"""Reasons of refusals that commands and sessions share."""

STOPPED = "The agent was stopped."
STOPPING = "The agent is stopping. Try again when the server is online again."
UNKNOWN = "The agent does not know this kind of command. Update the agent if it is older than the console."


def switched_off(subject: str, setting: str) -> str:
    return (
        f"{subject} switched off on this server. Its owner can allow this with {setting} in the"
        " agent's policy.toml."
    )
