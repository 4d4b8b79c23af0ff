"""What a request handler may use, made once at start-up."""

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from litestar.di import NamedDependency

from services.gateway.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.store import fleet
from services.kit import database
from services.kit.bus import Bus
from services.kit.health import Health


@dataclass
class Runtime:
    settings: GatewaySettings
    pool: database.Pool
    bus: Bus
    live: Live
    health: Health

    @cached_property
    def ca_pem(self) -> str:
        return self.settings.ca_certificate.read_text()

    @cached_property
    def ca_fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, in hexadecimal digits."""
        certificate = x509.load_pem_x509_certificate(self.ca_pem.encode())
        return certificate.fingerprint(SHA256()).hex()

    async def refresh_fleet(self) -> None:
        async with database.transaction(self.pool) as connection:
            self.live.know(await fleet.owners(connection))


UseRuntime = NamedDependency[Runtime]
