import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from services.kit.bus import subjects

ROOT = Path(__file__).parents[4]


def test_every_subject_is_flotillas() -> None:
    made = [
        value
        for name, value in vars(subjects).items()
        if name.isupper() and "." in value and name != "MAX_DELIVERIES_ALL"  # nats-server's own
    ]
    made += [
        subjects.performance("v"),
        subjects.docker("v"),
        subjects.generic("v"),
        subjects.vps_enrolled("v"),
        subjects.vps_connected("v"),
        subjects.vps_disconnected("v"),
        subjects.agent_all("v"),
        subjects.agent_durable("v"),
        subjects.deadletter("S", "d"),
        subjects.service_status("s"),
    ]
    assert len(made) >= 17
    assert all(subject.startswith("flotilla.") for subject in made)
    assert subjects.vps_of(subjects.performance("v")) == "v"
    assert subjects.vps_of(subjects.vps_connected("v")) == "v"


SUBJECT = re.compile(
    r"flotilla\.(telemetry|event|job|dlq|agent|shell|task|service|enrolment)\b|\$(KV|JS)\."
)


def strings(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.STRING and not token.string.startswith('"""'):
                yield token.string


def test_no_other_module_spells_a_subject() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}: {string}"
        for folder in ("services", "agent")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "services/kit/bus/subjects.py" and "build" not in path.parts
        for string in strings(path)
        if SUBJECT.search(string)
    ]
    assert spelled == []
