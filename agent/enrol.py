"""Registration of this server with a console."""

import asyncio
import hashlib
import http.client
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from google.protobuf.message import DecodeError
from nacl.signing import SigningKey

from agent.base.errors import EnrolmentError
from agent.base.identity import ENROL_CONTEXT, Identity
from agent.collect import facts
from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from flotilla.v1.agent_pb2 import EnrolRequest, EnrolResponse, Powers

TOKEN_VARIABLE = "FLOTILLA_ENROLMENT_TOKEN"  # noqa: S105  # a name, not a token
TOKEN_LIMIT = 4096  # bytes
BOOTSTRAP_LIMIT = 65_536  # bytes
TIMEOUT = 10.0  # seconds
PATH = "/flotilla.v1.EnrolmentService/Enrol"
CHECK_ADDRESS = "Check the address of the console."


def read_token(file: str | None) -> str:
    """Return the token from the file ("-" is standard input), or from the environment."""
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        origin = f"the environment variable {TOKEN_VARIABLE}"
    else:
        origin = "standard input" if file == "-" else file
        try:
            if file == "-":
                token = sys.stdin.read(TOKEN_LIMIT + 1)
            else:
                with Path(file).open() as handle:
                    token = handle.read(TOKEN_LIMIT + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise EnrolmentError(f"The enrolment token cannot be read: {error}.") from None
    token = token.strip()
    if not token or len(token) > TOKEN_LIMIT or not token.isascii():
        raise EnrolmentError(
            f"There is no enrolment token in {origin}. Copy the whole install line from the console."
        )
    return token


def fetch_bootstrap(console: str) -> tuple[str, str]:
    """Return the address of the edge and the CA certificate (PEM). Both are not verified yet."""
    url = f"{console.rstrip('/')}/api/v1/agent/bootstrap"
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise EnrolmentError(
            f"The address of the console, {console}, must begin with http:// or https://."
        )
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  # checked above
            body = answer.read(BOOTSTRAP_LIMIT + 1)
    except urllib.error.URLError as error:
        raise EnrolmentError(f"The console does not respond at {url}: {error.reason}.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise EnrolmentError(f"The console does not respond at {url}: {reason}.") from None
    if len(body) > BOOTSTRAP_LIMIT:
        raise EnrolmentError(
            f"{url} is not a Flotilla console: it answers with more than {BOOTSTRAP_LIMIT} bytes."
        )
    try:
        record = json.loads(body)
        address, certificate = record["agent_address"], record["ca_certificate"]
    except (KeyError, TypeError, ValueError):
        raise EnrolmentError(f"{url} is not a Flotilla console. {CHECK_ADDRESS}") from None
    if not isinstance(address, str) or not isinstance(certificate, str):
        raise EnrolmentError(f"{url} is not a Flotilla console. {CHECK_ADDRESS}")
    return address, certificate


def pin(certificate: str, fingerprint: str) -> str:
    """Return the certificate as PEM if it has the expected SHA-256 fingerprint.

    It is encoded again, so that only the hashed certificate is trusted.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate.strip())
    except ValueError:
        raise EnrolmentError(
            "The CA certificate of the console is not a PEM certificate."
        ) from None
    found = hashlib.sha256(der).hexdigest()
    expected = fingerprint.replace(":", "").strip().lower()
    if found != expected:
        raise EnrolmentError(
            "The CA certificate of the console is not the one of the install line: its SHA-256 is"
            f" {found}, not {expected}. Someone may be intercepting the connection between this"
            " server and the console. Nothing was sent. Compare the fingerprint in the console."
        )
    return ssl.DER_cert_to_PEM_cert(der)


def enrol(
    *, console: str, fingerprint: str, token: str, command_keys: tuple[bytes, ...] = ()
) -> tuple[Identity, str]:
    """Register a new key. Return the identity of this server and its name in the console.

    The trusted command keys come from the person who enrols, not from the answer of the server,
    into which someone could insert keys.
    """
    address, certificate = fetch_bootstrap(console)
    certificate = pin(certificate, fingerprint)
    key = SigningKey.generate()
    request = EnrolRequest(
        token=token,
        public_key=bytes(key.verify_key),
        proof=key.sign(ENROL_CONTEXT + token.encode()).signature,
        facts=facts.collect(),
        powers=Powers(),
    )
    response = _register(address, certificate, request)
    identity = Identity(
        vps_id=response.vps_id,
        address=address,
        ca_certificate=certificate,
        key=key,
        command_keys=command_keys,
    )
    return identity, response.name


def _register(address: str, certificate: str, request: EnrolRequest) -> EnrolResponse:
    try:
        return asyncio.run(asyncio.wait_for(_ask(address, certificate, request), TIMEOUT))
    except RpcError as error:
        problem = error
    except asyncio.TimeoutError:
        problem = RpcError(Status.DEADLINE_EXCEEDED, f"There was no answer within {TIMEOUT:g} s.")
    if problem.code is Status.UNAUTHENTICATED:
        raise EnrolmentError(
            "The enrolment token is unknown, used up or expired. Make a new install line in the"
            " console."
        )
    raise EnrolmentError(f"The edge at {address} refused the enrolment: {problem}")


async def _ask(address: str, certificate: str, request: EnrolRequest) -> EnrolResponse:
    call = await open_call(address, certificate, PATH, timeout=TIMEOUT)
    try:
        await call.send(request.SerializeToString(), last=True)
        answer = await call.receive()
        # The status follows the answer.
        if answer is None or await call.receive() is not None:
            raise RpcError(Status.INTERNAL, "The edge did not send one answer.")
        return EnrolResponse.FromString(answer)
    except DecodeError:
        raise RpcError(Status.INTERNAL, "The answer of the edge cannot be read.") from None
    finally:
        await call.close()
