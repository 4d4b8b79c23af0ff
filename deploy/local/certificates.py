"""A private certificate authority, and the edge's certificate for agents."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local.settings import write_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
RENEW_DAYS = 30


def issue(folder: Path, names: Iterable[str]) -> bool:
    """Issue the certificates that are missing, expire soon or are for other names.

    Return True if any was issued.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {_general_name(name) for name in names}
    if not (folder / "ca.pem").exists():
        _make_authority(folder)
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    if _is_valid(folder / "edge.pem", wanted, authority):
        return False
    _make_server(folder, authority, wanted)
    return True


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of the DER form in hexadecimal, which agents pin."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.fingerprint(hashes.SHA256()).hex()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_valid(path: Path, wanted: set[x509.GeneralName], authority: x509.Certificate) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.timezone.utc)
    return (
        set(names) == wanted
        and certificate.issuer == authority.subject
        and left > dt.timedelta(days=RENEW_DAYS)
    )


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number distinguishes the authorities of several stacks, which share a name.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Flotilla private authority"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, os.urandom(8).hex()),
        ]
    )
    certificate = (
        _certificate(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, "ca", key, certificate)


def _make_server(folder: Path, authority: x509.Certificate, names: set[x509.GeneralName]) -> None:
    authority_key = serialization.load_pem_private_key(
        (folder / "ca.key").read_bytes(), password=None
    )
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder / 'ca.key'} is not an elliptic-curve key.")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Flotilla edge")])
    ordered = sorted(names, key=lambda general: str(general.value))
    certificate = (
        _certificate(name, authority.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(ordered), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder, "edge", key, certificate)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # an agent's clock may be behind
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(folder / f"{name}.key", private.decode())
    write_private(
        folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
