"""The policy of this machine's agent, from `make up POWERS="…"`."""

from __future__ import annotations

from deploy.local.settings import Settings, write_private
from deploy.local.waiting import StackError

LINES = {
    "shell": "shell = true",
    "commands": "commands = true",
    "files": 'files = "write"\nfile_roots = ["/"]',
    "docker": 'docker = "actions"',
}


def parse(text: str) -> tuple[str, ...]:
    """Return the permissions that are named in the text; none for `none`.

    Raises:
        StackError: a permission is not known.
    """
    words = text.replace(",", " ").split()
    if words == ["none"]:
        return ()
    if unknown := [word for word in words if word not in LINES]:
        raise StackError(
            f"POWERS: {' '.join(unknown)} is not known."
            f" Use {', '.join(LINES)}, or none to turn all of them off."
        )
    return tuple(name for name in LINES if name in words)


def write(settings: Settings, permissions: tuple[str, ...]) -> None:
    settings.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [
        "# What the console may do on this machine, see docs/security.md. `make up POWERS=…` writes this.",
        *(LINES[name] for name in permissions),
    ]
    write_private(settings.policy, "\n".join(lines) + "\n")
