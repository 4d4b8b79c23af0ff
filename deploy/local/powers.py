"""What `make up POWERS="…"` lets the console do on this machine, as its agent's policy file."""

from __future__ import annotations

from deploy.local.settings import Settings, write_private
from deploy.local.waiting import StackError

LINES = {
    "shell": "shell = true",
    "commands": "commands = true",
    "files": 'files = "write"\nfile_roots = ["/"]',
    "docker": 'docker = "actions"',
}


def chosen(text: str) -> tuple[str, ...]:
    """The powers that are named; none for `none`.

    Raises:
        StackError: there is no such power.
    """
    words = text.replace(",", " ").split()
    if words == ["none"]:
        return ()
    if unknown := [word for word in words if word not in LINES]:
        raise StackError(
            f"POWERS: {' '.join(unknown)} is no power."
            f" There are {', '.join(LINES)}; POWERS=none turns all of them off."
        )
    return tuple(name for name in LINES if name in words)


def write(settings: Settings, powers: tuple[str, ...]) -> None:
    settings.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [
        "# What the console may do on this machine; see docs/security.md. Written by `make up POWERS=…`.",
        *(LINES[name] for name in powers),
    ]
    write_private(settings.policy, "\n".join(lines) + "\n")
