"""Senders, one for each type of channel. A sender returns when the provider has accepted."""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from services.alerting.notify import http_request, smtp
from services.alerting.notify.errors import NotDeliveredError, UndeliverableError
from services.alerting.notify.message import Message

Config = Mapping[str, Any]
Send = Callable[[Config, Message, Collection[str]], Awaitable[None]]

JSON = {"Content-Type": "application/json"}
MAX_TEXT = 1_500  # characters, below the limits of all providers


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a webhook: HMAC-SHA256 of `timestamp.body`, in hexadecimal digits."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


async def _webhook(config: Config, message: Message, allowed: Collection[str]) -> None:
    body = json.dumps(message.facts).encode()
    timestamp = str(int(time.time()))
    headers = {
        **JSON,
        "X-Flotilla-Timestamp": timestamp,
        "X-Flotilla-Signature": signature(config["secret"], timestamp, body),
    }
    http_request.check(await http_request.post(config["url"], body, headers, allowed=allowed))


async def _post(
    url: str,
    content: Mapping[str, Any],
    allowed: Collection[str],
    headers: Mapping[str, str] = MappingProxyType({}),
) -> http_request.Answer:
    answer = await http_request.post(
        url, json.dumps(content).encode(), {**JSON, **headers}, allowed=allowed
    )
    http_request.check(answer)
    return answer


def _plain(message: Message) -> str:
    return f"{message.title}\n{message.text}"[:MAX_TEXT]


async def _telegram(config: Config, message: Message, allowed: Collection[str]) -> None:
    server = config.get("url") or "https://api.telegram.org"
    content = {"chat_id": config["chat_id"], "text": _plain(message)}
    answer = await _post(f"{server}/bot{config['token']}/sendMessage", content, allowed)
    found = answer.json()
    if not isinstance(found, dict) or found.get("ok") is not True:
        raise NotDeliveredError("Telegram refused the message.")


async def _slack(config: Config, message: Message, allowed: Collection[str]) -> None:
    # `mrkdwn: false` and the escapes keep names of servers from being read as markup or mentions.
    text = _plain(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    await _post(config["url"], {"text": text, "mrkdwn": False}, allowed)


async def _discord(config: Config, message: Message, allowed: Collection[str]) -> None:
    content = {"content": _plain(message), "allowed_mentions": {"parse": []}}
    await _post(config["url"], content, allowed)


async def _ntfy(config: Config, message: Message, allowed: Collection[str]) -> None:
    headers = {"Authorization": f"Bearer {config['token']}"} if config.get("token") else {}
    content = {
        "topic": config["topic"],
        "title": message.title[:200],
        "message": message.text[:MAX_TEXT],
        "priority": 4 if message.facts["state"] == "firing" else 3,
    }
    await _post(config.get("url") or "https://ntfy.sh", content, allowed, headers)


async def _gotify(config: Config, message: Message, allowed: Collection[str]) -> None:
    content = {"title": message.title, "message": message.text, "priority": 5}
    headers = {"X-Gotify-Key": config["token"]}
    await _post(f"{config['url'].rstrip('/')}/message", content, allowed, headers)


async def _bark(config: Config, message: Message, allowed: Collection[str]) -> None:
    server = (config.get("url") or "https://api.day.app").rstrip("/")
    content = {
        "device_key": config["device_key"],
        "title": message.title,
        "body": message.text,
        "group": "Flotilla",
    }
    answer = (await _post(f"{server}/push", content, allowed)).json()
    # The server may refuse inside an answer with the status 200.
    if not isinstance(answer, dict) or answer.get("code") != 200:
        raise NotDeliveredError("Bark refused the message.")


SENDERS: Mapping[str, Send] = MappingProxyType(
    {
        "webhook": _webhook,
        "email": smtp.send,
        "telegram": _telegram,
        "slack": _slack,
        "discord": _discord,
        "ntfy": _ntfy,
        "gotify": _gotify,
        "bark": _bark,
    }
)


async def send(type_: str, config: Config, message: Message, allowed: Collection[str]) -> None:
    """Send a notification.

    Raises:
        UndeliverableError: it can never be sent.
        NotDeliveredError: it may succeed later.
    """
    sender = SENDERS.get(type_)
    if sender is None:
        raise UndeliverableError(f"This version cannot send to channels of the type {type_}.")
    await sender(config, message, allowed)
