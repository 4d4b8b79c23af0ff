"""Routes of notification channels, and of the addresses that they may reach."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.di import Provide
from litestar.params import JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET
from pydantic import SecretBytes

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.alerts import channel_configs
from services.gateway.alerts import channel_store as store
from services.gateway.alerts.access import OwnChannel, organisations_of, provide_channel
from services.gateway.alerts.schemas import (
    AlertDelivery,
    AlertDeliveryPage,
    Channel,
    ChannelCreate,
    ChannelPage,
    ChannelUpdate,
    NewChannel,
    OutboundSettings,
)
from services.gateway.api import errors
from services.gateway.api.limits import CHANNELS_OF_ORGANISATION, check_quota, check_share
from services.gateway.api.pagination import Limit, Offset
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.context import Context, UseContext
from services.gateway.servers.access import organisation_for
from services.kit.access import Action
from services.kit.alerts import outbound
from services.kit.database import pool as database
from services.kit.secrets import vault
from services.kit.secrets.columns import CHANNEL_CONFIG

WAITING_TESTS = 5  # of one channel


class AlertChannelController(Controller):
    path = "/alerts/channels"
    tags = ("Alerts",)
    dependencies: Any = {"channel": Provide(provide_channel)}  # noqa: RUF012  Litestar's

    @get(
        operation_id="listAlertChannels",
        summary="List the notification channels of your organisations by name",
        opt={ACTION: Action.ALERT_LIST},
    )
    async def list(
        self, request: AuthedRequest, db: UseConnection, *, limit: Limit = 100, offset: Offset = 0
    ) -> ChannelPage:
        found, total = await store.page(
            db, organisations=organisations_of(request.user), limit=limit, offset=offset
        )
        return ChannelPage([_view(channel) for channel in found], total)

    @post(
        operation_id="createAlertChannel",
        summary="Add a notification channel",
        opt={ACTION: Action.CHANNEL_WRITE},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[ChannelCreate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> NewChannel:
        """Add a channel to `organisation_id`, or to the caller's only organisation.

        The configuration is stored encrypted and is never shown again. A private address is
        refused unless a platform administrator has listed it at `/settings/outbound`.
        """
        organisation_id = organisation_for(
            request.user,
            data.organisation_id,
            audit,
            action=Action.CHANNEL_WRITE,
            things="notification channels",
        )
        check_quota(
            "channels",
            await store.count(db, organisation_id=organisation_id),
            CHANNELS_OF_ORGANISATION,
            "channels in this organisation. Delete one that you no longer need.",
        )
        config, target = channel_configs.check(
            data.type, data.config, await store.outbound_targets(db)
        )
        channel_id = uuid4()
        await store.insert(
            db,
            channel_id=channel_id,
            organisation_id=organisation_id,
            name=data.name,
            type_=data.type,
            target=target,
            config=await _encrypted(context, db, channel_id, config),
        )
        audit.done(_object_id(channel_id), f"{data.name} ({data.type})")
        made = await store.lock(db, channel_id=channel_id)
        secret = config.get("secret") if data.type == "webhook" else None
        shown = {**msgspec.to_builtins(_view(made)), "signing_secret": secret}
        return msgspec.convert(shown, NewChannel)

    @get(
        "/{channel_id:uuid}",
        operation_id="getAlertChannel",
        summary="Get one notification channel, without its configuration",
        opt={ACTION: Action.ALERT_READ},
    )
    async def read(self, channel: OwnChannel) -> Channel:
        return _view(channel)

    @patch(
        "/{channel_id:uuid}",
        operation_id="updateAlertChannel",
        summary="Rename a notification channel, or replace its configuration",
        opt={ACTION: Action.CHANNEL_WRITE},
    )
    async def update(
        self,
        channel: OwnChannel,
        data: JSONBody[ChannelUpdate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Channel:
        if data.name is not UNSET:
            await store.rename(db, channel_id=channel.id, name=data.name)
        if data.config is not UNSET:
            config, target = channel_configs.check(
                channel.type, data.config, await store.outbound_targets(db)
            )
            encrypted = await _encrypted(context, db, channel.id, config)
            await store.configure(db, channel_id=channel.id, target=target, config=encrypted)
        audit.done(_object_id(channel.id), channel.name)
        return _view(await store.lock(db, channel_id=channel.id))

    @delete(
        "/{channel_id:uuid}",
        operation_id="deleteAlertChannel",
        summary="Delete a notification channel that no rule uses",
        opt={ACTION: Action.CHANNEL_WRITE},
    )
    async def delete(self, channel: OwnChannel, db: UseConnection, audit: UseAudit) -> None:
        if channel.rules:
            raise errors.RequestError(
                ProblemType.STILL_NEEDED,
                f"Alert rules that notify this channel: {channel.rules}. Change them first.",
            )
        await store.delete(db, channel_id=channel.id)
        audit.done(_object_id(channel.id), channel.name)

    @post(
        "/{channel_id:uuid}/test",
        operation_id="testAlertChannel",
        summary="Send a test notification",
        status_code=HTTP_202_ACCEPTED,
        opt={ACTION: Action.CHANNEL_WRITE},
    )
    async def test(self, channel: OwnChannel, db: UseConnection, audit: UseAudit) -> AlertDelivery:
        """Send a test. The log at `/alerts/channels/{channel_id}/deliveries` has its result.

        A test is sent once and not repeated.
        """
        check_share(
            "channel tests",
            await store.waiting_tests(db, channel_id=channel.id),
            WAITING_TESTS,
            "tests of this channel that wait. Try again in a moment.",
        )
        made = await store.insert_test(db, channel_id=channel.id)
        audit.done(_object_id(channel.id), channel.name, action="channel.test")
        return _delivery(made)

    @get(
        "/{channel_id:uuid}/deliveries",
        operation_id="listAlertDeliveries",
        summary="List the notifications of a channel, newest first",
        opt={ACTION: Action.ALERT_READ},
    )
    async def deliveries(
        self, channel: OwnChannel, db: UseConnection, *, limit: Limit = 50, offset: Offset = 0
    ) -> AlertDeliveryPage:
        found, total = await store.deliveries(db, channel_id=channel.id, limit=limit, offset=offset)
        return AlertDeliveryPage([_delivery(one) for one in found], total)


class OutboundController(Controller):
    path = "/settings/outbound"
    tags = ("Settings",)

    @get(
        operation_id="getOutbound",
        summary="Get the private addresses that notifications may be sent to",
        opt={ACTION: Action.OUTBOUND_READ},
    )
    async def read(self, db: UseConnection) -> OutboundSettings:
        return OutboundSettings(await store.outbound_targets(db))

    @put(
        operation_id="replaceOutbound",
        summary="Replace the private addresses that notifications may be sent to",
        opt={ACTION: Action.OUTBOUND_UPDATE},
    )
    async def replace(
        self, data: JSONBody[OutboundSettings], db: UseConnection, audit: UseAudit
    ) -> OutboundSettings:
        """Replace the list. Public addresses need no entry."""
        targets = sorted({_target(entry) for entry in data.allowed})
        await store.replace_outbound_targets(db, targets=targets)
        audit.done("settings:outbound", ", ".join(targets))
        return OutboundSettings(targets)


def _target(entry: str) -> str:
    try:
        return outbound.join(*outbound.parse_target(entry))
    except ValueError:
        raise errors.invalid(
            f"{entry!r} is not an address with a port, such as 10.0.0.5:587 or [fd00::5]:587."
            " Names are not accepted, because what they resolve to can change.",
            "allowed",
        ) from None


async def _encrypted(
    context: Context, db: database.Connection, channel_id: UUID, config: dict[str, Any]
) -> bytes:
    value = SecretBytes(msgspec.json.encode(config))
    return await vault.encrypt(db, context.master_keys, CHANNEL_CONFIG.row(channel_id), value)


def _view(channel: store.Channel | None) -> Channel:
    return msgspec.convert(channel, Channel, from_attributes=True)


def _delivery(delivery: store.Delivery) -> AlertDelivery:
    return msgspec.convert(delivery, AlertDelivery, from_attributes=True)


def _object_id(channel_id: UUID) -> str:
    """Return the channel's name in the audit log."""
    return f"alert-channel:{channel_id}"
