"""Configurations of channels, by type: their checks, and what may be shown of them."""

import re
import secrets
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from services.gateway.api import errors
from services.gateway.api.validation_messages import plain
from services.kit.alerts.outbound import RefusedAddressError, check_literal

_URL = r"^https?://[!-~]+$"
Url = Annotated[str, Meta(max_length=2_000, pattern=_URL)]
Secret = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[!-~]+(?!\n)$")]
Mail = Annotated[str, Meta(max_length=254, pattern=r"^[!#-'*+/-9=?A-Z^-~-]+@[A-Za-z0-9.-]+(?!\n)$")]


class Webhook(Struct, forbid_unknown_fields=True, omit_defaults=True):
    url: Url
    secret: (
        Annotated[str, Meta(min_length=16, max_length=200, pattern=r"^[!-~]+(?!\n)$")] | None
    ) = None


class Email(Struct, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+(?!\n)$")]
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: Annotated[str, Meta(max_length=254)] | None = None
    password: Annotated[str, Meta(max_length=500)] | None = None
    from_: Mail = msgspec.field(name="from")
    to: Annotated[list[Mail], Meta(min_length=1, max_length=20)]


class Telegram(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(pattern=r"^[0-9]{3,20}:[\w-]{10,100}(?!\n)$")]
    chat_id: Annotated[str, Meta(pattern=r"^(-?[0-9]{1,20}|@\w{3,64})(?!\n)$")]
    url: Url | None = None


class Slack(Struct, forbid_unknown_fields=True):
    url: Url


class Discord(Struct, forbid_unknown_fields=True):
    url: Url


class Ntfy(Struct, forbid_unknown_fields=True):
    topic: Annotated[str, Meta(pattern=r"^[\w-]{1,64}(?!\n)$")]
    token: Secret | None = None
    url: Url | None = None


class Gotify(Struct, forbid_unknown_fields=True):
    url: Url
    token: Secret


class Bark(Struct, forbid_unknown_fields=True):
    device_key: Secret
    url: Url | None = None


_TYPES: Mapping[str, type[Struct]] = MappingProxyType(
    {
        "webhook": Webhook,
        "email": Email,
        "telegram": Telegram,
        "slack": Slack,
        "discord": Discord,
        "ntfy": Ntfy,
        "gotify": Gotify,
        "bark": Bark,
    }
)
_DEFAULT_HOSTS = {"telegram": "api.telegram.org", "ntfy": "ntfy.sh", "bark": "api.day.app"}


def check(
    type_: str, config: dict[str, Any], listed: Collection[str]
) -> tuple[dict[str, Any], str]:
    """Check a configuration; return it with its defaults, and the host that may be shown.

    A webhook without a secret gets one.

    Raises:
        RequestError: 422, a field is wrong, or its address is private and not listed.
    """
    kind = _TYPES[type_]
    try:
        parsed = msgspec.convert(config, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind) from None
    if isinstance(parsed, Email):
        field, host, port = "config.host", parsed.host, parsed.port
    else:
        url = getattr(parsed, "url", None)
        field = "config.url"
        host, port = _DEFAULT_HOSTS.get(type_, ""), 443
        if url is not None:
            host, port = _host(url)
    try:
        check_literal(host, port, listed)
    except RefusedAddressError as error:
        raise errors.invalid(str(error), field) from None
    content: dict[str, Any] = msgspec.to_builtins(parsed)
    if isinstance(parsed, Webhook) and parsed.secret is None:
        content["secret"] = secrets.token_urlsafe(32)
    standard = port in {443, 80} and not isinstance(parsed, Email)
    return content, host if standard else f"{host}:{port}"


def _host(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    else:
        port = port or (443 if parts.scheme == "https" else 80)
    if not host or port is None or "@" in url.partition("//")[2].partition("/")[0]:
        raise errors.invalid(
            "This is not an address with a host, such as https://hooks.example.com/flotilla. User"
            " names and passwords in it are not supported.",
            "config.url",
        )
    return host, port


def _invalid(error: msgspec.ValidationError, kind: type[Struct]) -> errors.RequestError:
    message, _, path = str(error).partition(" - at `$")
    field = "config" + path.removesuffix("`")
    missing = re.fullmatch(r"Object missing required field `(.*)`", message)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if missing or unknown:
        found = missing or unknown
        assert found is not None
        field = f"{field}.{found[1]}"
    if f"regex {_URL!r}" in message:
        return errors.invalid("Must be an http or https address.", field)
    text = plain(message, kind, path.lstrip(".").removesuffix("`"))
    if "matching regex" in text:
        text = "Has characters that are not allowed here."
    return errors.invalid(f"`{field}`: {text}", field)
