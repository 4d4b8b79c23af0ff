import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
SECONDS = 540


@pytest.mark.timeout(SECONDS + 60)
def test_nothing_acknowledged_is_lost_or_doubled_whatever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_STATE", str(tmp_path))

    done = subprocess.run(
        [sys.executable, str(RUN), "--short"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = json.loads((tmp_path / "reports/chaos.json").read_text())
    failing = [fault["name"] for fault in found["faults"] if fault["must_fail"]]
    assert found["passed"]
    assert failing == ["ack-before-commit"]
