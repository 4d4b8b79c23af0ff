"""The resources of the gateway, made once at start-up and shared by all requests."""

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from litestar.datastructures import State
from litestar.di import NamedDependency

from services.gateway.api.background import BackgroundTasks
from services.gateway.api.limits import RunLimits, TokenUses, TransferLimits, Viewers
from services.gateway.api.open_requests import OpenRequests
from services.gateway.fleet.live_hub import LiveHub
from services.gateway.settings import GatewaySettings
from services.gateway.timing import DEFAULT_TIMING, GatewayTiming
from services.kit.agents.commands import Signer
from services.kit.agents.request_signing import SigningBus
from services.kit.bus.audit import AuditLog
from services.kit.bus.connection import Bus
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.secrets.master_keys import MasterKeys


@dataclass
class Context:
    settings: GatewaySettings
    pool: database.Pool
    bus: Bus
    live: LiveHub
    health: Health
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    open_requests: OpenRequests = field(default_factory=OpenRequests)
    transfers: TransferLimits = field(default_factory=TransferLimits)
    timing: GatewayTiming = DEFAULT_TIMING
    token_uses: TokenUses = field(default_factory=TokenUses)
    run_limits: RunLimits = field(default_factory=RunLimits)
    runs_queued: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a run may be waiting for a gateway."""

    @cached_property
    def run_viewers(self) -> Viewers:
        return Viewers(self.run_limits.viewers)

    @cached_property
    def ca_pem(self) -> str:
        return self.settings.ca_certificate.read_text()

    @cached_property
    def ca_fingerprint(self) -> str:
        """SHA-256 of the certificate authority's certificate, in hexadecimal digits."""
        certificate = x509.load_pem_x509_certificate(self.ca_pem.encode())
        return certificate.fingerprint(SHA256()).hex()

    @cached_property
    def signer(self) -> Signer:
        return Signer.of(self.settings.command_key)

    @cached_property
    def previous_signer(self) -> Signer | None:
        """Signer with the previous key, which agents may still trust after a rotation."""
        previous = self.settings.command_key_previous
        return None if previous is None else Signer.of(previous)

    @cached_property
    def master_keys(self) -> MasterKeys:
        return MasterKeys(self.settings.master_key, self.settings.master_key_previous)

    @cached_property
    def signing_bus(self) -> SigningBus:
        """Bus for requests to a shellproxy, which accepts only signed requests."""
        return SigningBus(self.bus, self.signer)

    @cached_property
    def audit_log(self) -> AuditLog:
        return AuditLog(self.bus)


UseContext = NamedDependency[Context]


def provide_context(state: State) -> Context:
    context: Context = state.context
    return context
