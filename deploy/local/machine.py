"""The first server of the stack: adds this machine, enrols its agent and waits for a sample."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.certificates import fingerprint
from deploy.local.settings import Settings, write_private
from deploy.local.waiting import StackError, wait_for

ENROL_SECONDS = 60
SAMPLE_SECONDS = 60.0
FRESH = dt.timedelta(seconds=10)


def gateway_url(settings: Settings) -> str:
    """Return the gateway's address, as reached from this machine."""
    bind = settings.values["FLOTILLA_HTTP_HOST"]
    host = "127.0.0.1" if bind == "0.0.0.0" else bind  # noqa: S104 -- compared, not bound
    return f"http://{host}:{settings.port('HTTP')}"


def wait_until_gateway_ready(settings: Settings) -> None:
    def ready() -> bool:
        try:
            return httpx.get(f"{gateway_url(settings)}/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    log = settings.log / "gateway.log"
    wait_for(ready, seconds=60, otherwise="The gateway is not ready.", log=log)


def wait_until_edge_listens(settings: Settings) -> None:
    host = settings.values["FLOTILLA_PUBLIC_HOST"]

    def listens() -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((host, settings.port("GRPC"))) == 0

    log = settings.log / "edge.log"
    wait_for(listens, seconds=60, otherwise="The edge does not listen.", log=log)


@contextmanager
def logged_in(settings: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{gateway_url(settings)}/api/v1", trust_env=False) as client:
        word = settings.admin_password.read_text().strip()
        answer = client.post("/auth/login", json={"username": "admin", "password": word})
        if answer.status_code == httpx.codes.UNAUTHORIZED and "challenge" in answer.json():
            answer = _complete(client, answer.json()["challenge"])
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise StackError(
                f"The password in {settings.admin_password} is not that of the user admin in this"
                " database. Write the right password into that file."
            )
        client.headers["Authorization"] = f"Bearer {_body(answer)['access_token']}"
        yield client


def _complete(client: httpx.Client, challenge: str) -> httpx.Response:
    """Complete a log-in with a second factor: ask for the code on a terminal."""
    if not sys.stdin.isatty():
        raise StackError(
            "Everything runs, but the agent of this machine was not checked: the user admin has a"
            " second factor. Run `make up` on a terminal to type the code."
        )
    while True:
        code = input("Code of the second factor of admin: ")
        answer = client.post("/auth/login/factor", json={"challenge": challenge, "code": code})
        if answer.status_code == httpx.codes.UNAUTHORIZED and answer.json()["type"].endswith(
            "/wrong-code"
        ):
            print("The code is wrong, or it was used before. Wait for the next code.")
            continue
        return answer


def enrol(settings: Settings, client: httpx.Client) -> tuple[str, bool]:
    """Add this machine and enrol its agent, unless that is done already.

    Return the server's id, and True if the agent's identity or trusted key has changed.
    """
    vps_id = _known_id(settings, client)
    if vps_id is None:
        added = _body(client.post("/vps", json={"name": socket.gethostname()}))
        vps_id, token = str(added["id"]), added["enrolment"]["token"]
        write_private(settings.state / "vps-id", f"{vps_id}\n")
    elif _is_enrolled(settings, vps_id):
        return vps_id, _update_trust(settings)
    else:
        token = _body(client.post(f"/vps/{vps_id}/enrolment"))["token"]
    _run_enrolment(settings, token)
    return vps_id, True


def _known_id(settings: Settings, client: httpx.Client) -> str | None:
    record = settings.state / "vps-id"
    if not record.exists():
        return None
    vps_id = record.read_text().strip()
    answer = client.get(f"/vps/{vps_id}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    _body(answer)
    return vps_id


def _is_enrolled(settings: Settings, vps_id: str) -> bool:
    """Return True if the agent's identity has this server, this address and this authority."""
    path = settings.agent / "identity.json"
    if not path.exists():
        return False
    identity = json.loads(path.read_text())
    authority = Path(settings.values["FLOTILLA_CA_CERTIFICATE"]).read_text()
    return bool(
        identity["vps_id"] == vps_id
        and identity["address"] == settings.values["FLOTILLA_AGENT_ADDRESS"]
        and identity["ca_certificate"].split() == authority.split()
    )


def _update_trust(settings: Settings) -> bool:
    """Make the agent trust the console's key; return True if it did not.

    An agent that trusts the previous key is left alone: the gateway rotates it.
    """
    identity = json.loads((settings.agent / "identity.json").read_text())
    trusted = [base64.b64decode(key).hex() for key in identity["command_keys"]]
    names = ("FLOTILLA_COMMAND_KEY", "FLOTILLA_COMMAND_KEY_PREVIOUS")
    seeds = [settings.values[name] for name in names if settings.values[name]]
    if trusted in [[public_key(seed)] for seed in seeds]:
        return False
    _run_agent(settings, "trust", public_key(seeds[0]))
    return True


def public_key(seed: str) -> str:
    """Return the public key, in hexadecimal, of an Ed25519 seed in Base64."""
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    return key.public_key().public_bytes_raw().hex()


def wait_until_live(settings: Settings, client: httpx.Client, vps_id: str) -> dict[str, Any]:
    """Return the server once it is online with a recent sample."""

    def live() -> dict[str, Any] | None:
        vps = _body(client.get(f"/vps/{vps_id}"))
        if vps["status"] != "online" or vps["latest"] is None:
            return None
        if vps["latest"]["cpu_usage"] is None:  # a rate, so two samples have arrived
            return None
        measured = dt.datetime.fromisoformat(vps["latest"]["time"])
        return vps if dt.datetime.now(dt.timezone.utc) - measured < FRESH else None

    return wait_for(
        live,
        seconds=SAMPLE_SECONDS,
        otherwise=f"There is no recent sample of this machine. See also {settings.log}/edge.log.",
        log=settings.log / "agent.log",
    )


def _run_enrolment(settings: Settings, token: str) -> None:
    certificate = Path(settings.values["FLOTILLA_CA_CERTIFICATE"])
    _run_agent(
        settings,
        "enrol",
        "--force",
        f"--console={gateway_url(settings)}",
        f"--ca-sha256={fingerprint(certificate)}",
        f"--command-key={public_key(settings.values['FLOTILLA_COMMAND_KEY'])}",
        token=token,
    )


def _run_agent(settings: Settings, *words: str, token: str = "") -> None:
    program = str(Path(sys.executable).with_name("flotilla-agent"))
    done = subprocess.run(
        [program, *words, "--state", str(settings.agent)],
        env={"PATH": os.environ["PATH"], "FLOTILLA_ENROLMENT_TOKEN": token},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENROL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"`flotilla-agent {words[0]}` failed. See {settings.log}/edge.log and gateway.log.\n"
            f"{done.stdout}{done.stderr}".strip()
        )


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise StackError(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}:"
            f" {answer.text[:300]}"
        )
    body: dict[str, Any] = answer.json()
    return body
