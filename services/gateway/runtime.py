"""What a request handler may use, made once at start-up."""

from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from litestar.di import NamedDependency

from services.gateway.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.slots import Slots
from services.gateway.store import fleet
from services.gateway.work import Followed, Work
from services.kit import database
from services.kit.audit import Trail
from services.kit.bus import Bus
from services.kit.commands import Signer
from services.kit.health import Health
from services.kit.seals import SealedBus


@dataclass
class Runtime:
    settings: GatewaySettings
    pool: database.Pool
    bus: Bus
    live: Live
    health: Health
    work: Work = field(default_factory=Work)
    followed: Followed = field(default_factory=Followed)
    transfers: Slots = field(default_factory=Slots)

    @cached_property
    def ca_pem(self) -> str:
        return self.settings.ca_certificate.read_text()

    @cached_property
    def ca_fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, in hexadecimal digits."""
        certificate = x509.load_pem_x509_certificate(self.ca_pem.encode())
        return certificate.fingerprint(SHA256()).hex()

    @cached_property
    def signer(self) -> Signer:
        return Signer.of(self.settings.command_key)

    @cached_property
    def previous_signer(self) -> Signer | None:
        """Of the key that agents may still trust after a rotation."""
        previous = self.settings.command_key_previous
        return None if previous is None else Signer.of(previous)

    @cached_property
    def sealed(self) -> SealedBus:
        """For those that obey no one who merely is on the bus."""
        return SealedBus(self.bus, self.signer)

    @cached_property
    def trail(self) -> Trail:
        return Trail(self.bus)

    async def refresh_fleet(self) -> None:
        async with database.transaction(self.pool) as connection:
            self.live.know(await fleet.owners(connection))


UseRuntime = NamedDependency[Runtime]
