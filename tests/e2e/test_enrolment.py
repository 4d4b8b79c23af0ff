"""A second server, installed with the install line on another host."""

import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from deploy.local.waiting import wait_for
from services.gateway.servers.install import SCRIPT
from tests.e2e.host import Host, private_host
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a host of its own needs root")

# The fingerprint of the authority. The command key follows it.
FINGERPRINT = re.compile(r"[0-9a-f]{64}(?= [0-9a-f]{64}\b)")
START = re.compile(r"setpriv .*")
# Files that the tools for accounts leave: backups, a lock, ranges of ids.
ACCOUNT_TOOLS = re.compile(r"/etc/(\.pwd\.lock|(passwd|group|shadow|gshadow|sub[ug]id)-?)$")


@pytest.fixture
def host(stack: OwnStack) -> Iterator[Host]:
    with private_host() as host:
        yield host
    stack.keep_this_machine_only()


def test_the_pasted_line_brings_a_server_online_and_uninstalls_without_a_trace(
    admin: Visitor, stack: OwnStack, host: Host, tmp_path: Path
) -> None:
    name = "fra-web-01"
    line = _line_from_page(admin, name)
    clean = host.left()
    server = admin.page.url.split("id=")[1]

    # A wrong authority is recognised before the token is sent, so the line still works afterwards.
    wrong = FINGERPRINT.sub("0" * 64, line)
    assert wrong != line
    refused = host.sh(wrong)
    assert refused.returncode != 0
    assert "not the one of the install line" in refused.stderr
    assert host.sh("ls -A /var/lib/flotilla-agent").stdout == ""

    done = host.sh(line)
    assert done.returncode == 0, done.stdout + done.stderr
    token = re.findall(r"FLOTILLA_ENROLMENT_TOKEN=(\S+)", line)[0]
    assert token not in done.stdout + done.stderr
    assert host.sh("stat -c '%a %U' /var/lib/flotilla-agent").stdout == "700 flotilla-agent\n"

    again = host.sh(line)
    assert again.returncode != 0
    assert "unknown, used up or expired" in again.stderr

    command = START.search(done.stdout)
    assert command, done.stdout
    with host.running(command[0], tmp_path / "agent.log") as agent:
        expect(admin.page.get_by_test_id("enrolled")).to_contain_text(f"{name} is online")
        admin.page.get_by_role("link", name="Open it").click()
        expect(admin.page).to_have_url(f"{stack.url}/servers/{server}")
        admin.wait_until_painted("Memory", "--ok")
        expect(admin.page.get_by_text("monitoring only")).to_be_visible()
        admin.page.get_by_role("link", name="Fleet").first.click()
        expect(admin.card(name)).to_have_attribute("data-status", "online")
        expect(admin.card(name).get_by_test_id("cpu")).to_have_text(re.compile(r"^\d+%$"))
        _assert_runs_as_its_own_user(agent)

    expect(admin.card(name)).not_to_have_attribute("data-status", "online", timeout=60_000)
    gone = host.sh(f"curl -fsSL {stack.url}/install.sh | sh -s -- --uninstall")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    left = {path for path in host.left() - clean if not ACCOUNT_TOOLS.match(path)}
    assert left == set()
    _delete(admin, name)
    expect(admin.card(name)).to_have_count(0)


def test_a_new_line_makes_the_one_before_worthless(
    admin: Visitor, stack: OwnStack, host: Host
) -> None:
    name = "fra-web-02"
    first = _line_from_page(admin, name)
    # After a reload the token is not shown again, and a new line must be created.
    admin.page.reload()
    expect(admin.page.get_by_text(first)).to_have_count(0)
    admin.page.get_by_role("button", name="Create a new install line").click()
    second = admin.page.locator("pre").inner_text()
    assert first != second
    refused = host.sh(first)
    assert refused.returncode != 0
    assert "unknown, used up or expired" in refused.stderr
    assert host.sh(second).returncode == 0


def test_what_the_line_ticks_is_what_the_host_allows(
    stack: OwnStack, host: Host, tmp_path: Path
) -> None:
    ticked = {"commands": True, "files": "read", "file_roots": ["/srv"], "run_as": "root"}
    with stack.logged_in() as client:
        made = client.post("/vps", json={"name": "fra-web-04", "powers": ticked})
        server, line = made.json()["id"], made.json()["enrolment"]["install_command"]
        done = host.sh(line)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "commands  on" in done.stdout
        status = host.sh("stat -c '%a %U' /etc/flotilla-agent/policy.toml /var/lib/flotilla-agent")
        assert status.stdout == "644 root\n700 root\n"

        with host.running(_start_line(done.stdout), tmp_path / "root.log"):
            powers = _powers(client, server)
            assert (powers["commands"], powers["files"], powers["shell"]) == (True, "read", False)
            assert (powers["file_roots"], powers["user"]) == (["/srv"], "root")
            assert powers["obeys"]
            body = {"server_ids": [server], "script": "id -u; stat -c %U /opt/flotilla-agent"}
            run = client.post("/runs", json=body).raise_for_status().json()
            # The output ends when the run ends.
            client.get(f"/runs/{run['id']}/output", timeout=30).raise_for_status()
            ran = client.get(f"/runs/{run['id']}/servers/{server}")
            assert ran.json()["stdout"] == "0\nroot\n"
            terminal = client.get(f"/vps/{server}/files", params={"path": "/etc"})
            assert terminal.status_code == 403

        # A line without its token upgrades the agent and does not change permissions.
        bare = client.post(f"/vps/{server}/enrolment").json()["install_command"]
        policy = host.text("/etc/flotilla-agent/policy.toml")
        again = host.sh(re.sub(r"FLOTILLA_ENROLMENT_TOKEN=\S+ ", "", bare))
        assert again.returncode == 0, again.stdout + again.stderr
        assert host.text("/etc/flotilla-agent/policy.toml") == policy
        assert host.sh("stat -c %U /var/lib/flotilla-agent/identity.json").stdout == "root\n"

        # A line that enrols with nothing ticked allows only monitoring, as the agent's own user.
        again = host.sh(bare)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "commands  off" in again.stdout
        assert re.search(r"user +flotilla-agent", again.stdout)

        # After a change from root to its own user, the agent owns everything in its folder.
        less = client.post(f"/vps/{server}/enrolment", json={"powers": {"files": "read"}})
        assert host.sh(less.json()["install_command"] + " --run-as=agent").returncode == 0
        others = host.sh("find /var/lib/flotilla-agent ! -user flotilla-agent").stdout
        assert others == ""
        start = "setpriv --reuid flotilla-agent --regid flotilla-agent --clear-groups --"
        command = f"{start} /opt/flotilla-agent/flotilla-agent --state /var/lib/flotilla-agent"
        with host.running(command, tmp_path / "agent.log"):
            wait_for(
                lambda: _powers(client, server)["user"] == "flotilla-agent",
                seconds=30,
                otherwise="the agent does not come back as another user",
            )
            assert not _powers(client, server)["commands"]


def test_a_script_cut_short_does_nothing(host: Host) -> None:
    script = SCRIPT.read_text()
    lines = script.splitlines(keepends=True)
    clean = host.left()
    cuts = [sum(map(len, lines[:n])) for n in range(1, len(lines))]
    # Also within the last line, up to the last character but one.
    cuts += range(cuts[-1], len(script.rstrip()))
    step = (
        "head -c {} /tmp/install.sh | FLOTILLA_ENROLMENT_TOKEN=x sh -s -- http://127.0.0.1:9 00\n"
    )
    host.write("/tmp/install.sh", script)
    host.sh("".join(step.format(cut) for cut in cuts))
    assert host.left() - clean == {"/tmp/install.sh"}


def test_a_damaged_or_replaced_artefact_is_refused(
    admin: Visitor, stack: OwnStack, host: Host
) -> None:
    name = "fra-web-03"
    line = _line_from_page(admin, name)
    clean = host.left()

    def flip(body: bytes) -> bytes:
        middle = len(body) // 2
        return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]

    for spoil in (flip, lambda body: body[: len(body) // 2], lambda _body: b""):
        with _between(stack.url, spoil) as between:
            refused = host.sh(line.replace(stack.url, between))
        assert refused.returncode != 0
        assert "damaged" in refused.stderr, refused.stderr
        assert host.left() == clean


def _start_line(said: str) -> str:
    """Return the command that the script prints where there is no systemd."""
    return said.rstrip().splitlines()[-1].removeprefix("flotilla-agent:").strip()


def _powers(client: httpx.Client, server: str) -> dict[str, Any]:
    """Wait until the console knows the permissions of a server; return them."""

    def known() -> dict[str, Any] | None:
        vps = client.get(f"/vps/{server}").raise_for_status().json()
        powers: dict[str, Any] | None = vps["powers"]
        return powers if vps["status"] == "online" else None

    return wait_for(known, seconds=30, otherwise="the agent does not come")


def _line_from_page(admin: Visitor, name: str) -> str:
    page = admin.open()
    page.get_by_role("button", name="Add a server").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create the install line").click()
    line = page.locator("pre").inner_text()
    assert line.startswith("curl -fsSL ")
    expect(page.get_by_role("timer")).to_contain_text("Valid for")
    return line


def _assert_runs_as_its_own_user(agent: subprocess.Popen[bytes]) -> None:
    status = Path(f"/proc/{agent.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) != {"0"}
    assert int(fields["CapEff"], 16) == 0
    assert fields["Groups"].strip() == ""


def _delete(admin: Visitor, name: str) -> None:
    admin.card(name).get_by_role("link", name=name).click()
    admin.page.get_by_role("navigation", name="Views of this server").get_by_text(
        "Settings"
    ).click()
    admin.page.get_by_role("button", name="Delete this server").click()
    dialog = admin.page.get_by_role("dialog")
    button = dialog.get_by_role("button", name="Delete", exact=True)
    expect(button).to_be_disabled()
    dialog.get_by_label(f"Type {name} to confirm").fill(name)
    button.click()
    expect(admin.page.get_by_role("heading", name="Fleet")).to_be_visible()


@contextmanager
def _between(url: str, spoil: Callable[[bytes], bytes]) -> Iterator[str]:
    """A proxy that changes only the archive of the agent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = httpx.get(url + self.path, trust_env=False)
            body = answer.content
            if self.path.endswith(".tar.gz"):
                body = spoil(body)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
