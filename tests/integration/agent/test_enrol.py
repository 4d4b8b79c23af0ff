import asyncio
import io
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from nacl.signing import VerifyKey

from agent import enrol
from agent.__main__ import command, parser
from agent.base.errors import EnrolmentError
from agent.base.identity import StateFolder
from tests.fixtures.agent.fake_edge import VPS_ID, Authority, Edge

Console = Callable[[bytes], str]


@pytest.fixture
def console() -> Iterator[Console]:
    """Yield a function that serves a bootstrap answer and returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                found = self.path == "/api/v1/agent/bootstrap"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def bootstrap(address: str, certificate: str) -> bytes:
    return json.dumps({"agent_address": address, "ca_certificate": certificate}).encode()


Run = Callable[..., Awaitable[int]]


@pytest.fixture
def run(edge: Edge, authority: Authority, console: Console, tmp_path: Path) -> Run:
    """Runs the enrol command against the edge."""
    url = console(bootstrap(edge.address, authority.ca_pem))

    async def run(*arguments: str, ca_sha256: str = authority.ca_sha256) -> int:
        line = ["enrol", "--console", f"{url}/", "--ca-sha256", ca_sha256]
        options = parser().parse_args([*line, "--state", str(tmp_path), *arguments])
        return await asyncio.to_thread(command, options)

    return run


async def test_enrolling_registers_a_key_and_keeps_the_identity(
    run: Run,
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "good-token\n")

    code = await run()

    assert code == 0
    assert capsys.readouterr().out == f"This server is enrolled as web-1 ({VPS_ID}).\n"
    (request,) = edge.enrolled
    identity = StateFolder(tmp_path).load_identity()
    assert (identity.vps_id, identity.address) == (VPS_ID, edge.address)
    assert enrol.pin(identity.ca_certificate, edge.authority.ca_sha256)
    assert identity.key.verify_key == VerifyKey(request.public_key)
    assert identity.command_keys == ()
    assert request.facts.cpu_count > 0


async def test_the_trusted_key_comes_from_the_person_who_enrols_and_not_from_the_server(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "good-token")

    assert await run("--command-key", "ab" * 32) == 0

    assert StateFolder(tmp_path).load_identity().command_keys == (b"\xab" * 32,)


async def test_a_used_token_is_refused_with_the_way_out(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = tmp_path / "token"
    token.write_text("used-token")

    code = await run("--token-file", str(token))

    assert code == 1
    error = capsys.readouterr().err
    assert "Make a new install line" in error
    assert "used-token" not in error
    assert not StateFolder(tmp_path).is_enrolled()


async def test_a_ca_that_is_not_the_expected_one_gets_no_token(
    run: Run,
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "good-token")

    code = await run(ca_sha256="00" * 32)

    assert code == 1
    assert "intercepting the connection" in capsys.readouterr().err
    assert edge.tokens == {"good-token"}


async def test_an_enrolled_agent_is_enrolled_again_only_by_force(
    run: Run,
    edge: Edge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edge.tokens.add("second-token")
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "good-token")
    assert await run() == 0
    first = StateFolder(tmp_path).load_identity()
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "second-token")

    assert await run() == 1
    assert "already enrolled" in capsys.readouterr().err
    assert StateFolder(tmp_path).load_identity() == first
    assert await run("--force") == 0
    assert StateFolder(tmp_path).load_identity().key != first.key


def test_the_fingerprint_may_be_written_with_colons_and_capitals(authority: Authority) -> None:
    digits = authority.ca_sha256.upper()
    written = ":".join(digits[i : i + 2] for i in range(0, 64, 2))

    assert enrol.pin(authority.ca_pem, written).startswith("-----BEGIN CERTIFICATE-----")


def test_a_certificate_appended_to_the_expected_one_is_not_pinned(authority: Authority) -> None:
    stranger = Authority().ca_pem

    try:
        pinned = enrol.pin(authority.ca_pem + stranger, authority.ca_sha256)
    except EnrolmentError:
        return
    assert pinned.count("BEGIN CERTIFICATE") == 1
    assert ssl.PEM_cert_to_DER_cert(pinned) == ssl.PEM_cert_to_DER_cert(authority.ca_pem)


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(EnrolmentError, match="not a PEM certificate"):
        enrol.pin("hello", "00" * 32)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"<html>", "is not a Flotilla console"),
        (b"[]", "is not a Flotilla console"),
        (b'{"agent_address": 5, "ca_certificate": "x"}', "is not a Flotilla console"),
        (b"x" * 70_000, "answers with more than 65536 bytes"),
    ],
)
def test_an_answer_that_is_no_bootstrap_is_refused(
    console: Console, body: bytes, complaint: str
) -> None:
    with pytest.raises(EnrolmentError, match=complaint):
        enrol.fetch_bootstrap(console(body))


def test_a_console_that_answers_with_an_error_is_named(console: Console) -> None:
    with pytest.raises(EnrolmentError, match="Not Found"):
        enrol.fetch_bootstrap(f"{console(b'')}/elsewhere")


def test_a_console_that_is_away_is_named() -> None:
    with pytest.raises(EnrolmentError, match="refused"):
        enrol.fetch_bootstrap("http://127.0.0.1:1")


def test_only_web_addresses_are_fetched() -> None:
    with pytest.raises(EnrolmentError, match="must begin with"):
        enrol.fetch_bootstrap("file:///etc")


def test_the_token_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("  secret \n"))

    assert enrol.read_token("-") == "secret"


@pytest.mark.parametrize("content", ["", " \n", "x" * 5000, "tökén"])
def test_what_cannot_be_a_token_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)

    with pytest.raises(EnrolmentError, match="no enrolment token in"):
        enrol.read_token(str(file))


def test_a_missing_token_names_the_place_to_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOTILLA_ENROLMENT_TOKEN", raising=False)

    with pytest.raises(EnrolmentError, match="FLOTILLA_ENROLMENT_TOKEN"):
        enrol.read_token(None)
