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

import grpc
from nacl.signing import SigningKey

from agent.collect import facts
from agent.errors import EnrolmentError
from agent.identity import ENROL_CONTEXT, Identity
from flotilla.v1.agent_pb2 import EnrolRequest, EnrolResponse, Powers
from flotilla.v1.agent_pb2_grpc import EnrolmentServiceStub

TOKEN_VARIABLE = "FLOTILLA_ENROLMENT_TOKEN"  # noqa: S105  # where it is, not what it is
TOKEN_LIMIT = 4096  # bytes
BOOTSTRAP_LIMIT = 65_536  # bytes
TIMEOUT = 10.0  # seconds


def read_token(file: str | None) -> str:
    """The token from the file ("-" is standard input), or from the environment."""
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
            raise EnrolmentError(f"the enrolment token cannot be read: {error}") from None
    token = token.strip()
    if not token or len(token) > TOKEN_LIMIT or not token.isascii():
        raise EnrolmentError(f"{origin} holds no enrolment token")
    return token


def fetch_bootstrap(console: str) -> tuple[str, str]:
    """The agents' address and the CA certificate (PEM), neither to be believed yet."""
    url = f"{console.rstrip('/')}/api/v1/agent/bootstrap"
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise EnrolmentError(f"{console}: must begin with http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  # checked above
            body = answer.read(BOOTSTRAP_LIMIT + 1)
    except urllib.error.URLError as error:
        raise EnrolmentError(f"{url}: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EnrolmentError(f"{url}: {str(error) or type(error).__name__}") from None
    if len(body) > BOOTSTRAP_LIMIT:
        raise EnrolmentError(f"{url}: answers more than {BOOTSTRAP_LIMIT} bytes")
    try:
        record = json.loads(body)
        address, certificate = record["agent_address"], record["ca_certificate"]
    except (KeyError, TypeError, ValueError):
        raise EnrolmentError(f"{url}: is not a Flotilla console") from None
    if not isinstance(address, str) or not isinstance(certificate, str):
        raise EnrolmentError(f"{url}: is not a Flotilla console")
    return address, certificate


def pin(certificate: str, fingerprint: str) -> str:
    """The certificate as PEM if its SHA-256 is the one expected.

    It is encoded anew, so that nothing beside what was hashed is ever trusted.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate.strip())
    except ValueError:
        raise EnrolmentError("the console's CA certificate is not a PEM certificate") from None
    found = hashlib.sha256(der).hexdigest()
    expected = fingerprint.replace(":", "").strip().lower()
    if found != expected:
        raise EnrolmentError(
            "the console's CA certificate is not the one of the install line"
            f" (its SHA-256 is {found}, expected {expected}); somebody may be between this"
            " server and the console. Nothing was sent to it"
        )
    return ssl.DER_cert_to_PEM_cert(der)


def enrol(
    console: str, fingerprint: str, token: str, command_keys: tuple[bytes, ...] = ()
) -> tuple[Identity, str]:
    """Register a new key; answers who this server is now, and its name there.

    Whom to obey is said by whoever enrols: the server's answer comes by ways on which somebody
    could put keys into it.
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
    credentials = grpc.ssl_channel_credentials(certificate.encode())
    with grpc.secure_channel(address, credentials) as channel:
        try:
            return EnrolmentServiceStub(channel).Enrol(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAUTHENTICATED:
        raise EnrolmentError(
            "the enrolment token is unknown, used or expired; make a new install line in the console"
        )
    raise EnrolmentError(f"{address}: {code.name}: {details}")
