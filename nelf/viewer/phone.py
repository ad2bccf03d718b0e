"""What a phone needs to open the viewer: HTTPS by an authority of our own, and addresses with a code to scan.

Browsers give WebGPU and threads to pages from HTTPS only, and no public authority vouches for a computer at home.
"""

import contextlib
import datetime
import io
import ipaddress
import platform
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import psutil
import segno
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nelf.core.errors import ConfigError
from nelf.core.files import atomic_path
from nelf.viewer.server import ADDRESS, EVERY_VERSION, EVERYWHERE, OTHER_NAME, Receive, ViewerServer
from nelf.viewer.site import Site

AUTHORITY = "authority.crt"
"""Below the token: the authority's certificate, for a phone to trust."""
AUTHORITY_DAYS = 5 * 365
CERTIFICATE_DAYS = 90  # iOS accepts at most 825
LEAST_DAYS = 120  # that an authority must have left: more than its certificates
SOMEWHERE = "192.0.2.1"  # of RFC 5737: nobody's; nothing is sent to it
INTRODUCTION = """\
{code}
The phone must be in this computer's network. The browser asks about the certificate; its SHA-256 fingerprint is
{fingerprint}
iOS: tap Show Details, then visit this website. To use it offline: open {authority}, install the profile in Settings, \
and switch it on in General > About > Certificate Trust Settings.
Android: tap Advanced, then Proceed. To use it offline: open {authority}, then install it in Settings > Security > \
Encryption & credentials > Install a certificate > CA certificate."""


@dataclass(frozen=True)
class Authority:
    """What signs our certificates. It can vouch for addresses and localhost, and for no other name."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, addresses: Sequence[str]) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """A new key, and a certificate for these addresses and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        known = [x509.IPAddress(ipaddress.ip_address(one)) for one in dict.fromkeys([ADDRESS, *addresses])]
        builder = _certificate(_name("nelf viewer"), self.certificate.subject, key, CERTIFICATE_DAYS, ca=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(OTHER_NAME), *known]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return key, builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())


def keys_folder() -> Path:
    """Where the authority is kept, for this user alone."""
    return platformdirs.user_cache_path("nelf") / "authority"


def load_authority(folder: Path) -> Authority:
    """The authority kept in `folder`, so that a phone must trust it only once. Makes a new one if it must.

    Raises ConfigError if its file is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    file = folder / "authority.pem"
    if file.exists():
        try:
            key = serialization.load_pem_private_key(file.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
                raise ValueError("the key is another one's")
        except ValueError as error:
            raise ConfigError(f"{file} is damaged; remove it, and let your phones trust the new one") from error
        if certificate.not_valid_after_utc - _now() > datetime.timedelta(days=LEAST_DAYS):
            return Authority(key, certificate)
    made = _new_authority()
    with atomic_path(file) as temporary:
        _write_private(temporary, made.key, made.certificate)
    return made


def _new_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"nelf on {platform.node()[:40]}")
    only = x509.NameConstraints(permitted_subtrees=[x509.DNSName(OTHER_NAME)], excluded_subtrees=None)
    builder = _certificate(name, name, key, AUTHORITY_DAYS, ca=True).add_extension(only, critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, *, ca: bool
) -> x509.CertificateBuilder:
    """What all our certificates have."""
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(_now() + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _write_private(file: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """Write both as PEM, for this user's eyes."""
    file.touch(mode=0o600)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))


def own_addresses() -> list[str]:
    """Addresses of this machine in its networks, the one that leads to most others first.

    Raises ConfigError without any.
    """
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses if name in up else ():
            with contextlib.suppress(ValueError):  # hardware addresses are among them
                address = ipaddress.ip_address(one.address.partition("%")[0])
                if not address.is_loopback and not (address.version == 6 and address.is_link_local):
                    found.append(address)
    if not found:
        raise ConfigError("this machine has no address that a phone could reach; connect it to the phone's network")
    best = None
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((SOMEWHERE, 9))
        best = ipaddress.ip_address(probe.getsockname()[0])
    return [str(one) for one in sorted(set(found), key=lambda one: (one != best, one.version, not one.is_private, one))]


class PhoneServer(ViewerServer):
    """A ViewerServer over HTTPS, for phones in the same network."""

    def __init__(
        self,
        site: Site,
        port: int = 0,
        host: str | None = None,
        *,
        plan: Mapping[str, Any] | None = None,
        receive: Receive | None = None,
    ) -> None:
        """host: by default all addresses. The rest: as for ViewerServer. Raises ConfigError."""
        every = EVERY_VERSION if socket.has_dualstack_ipv6() else next(iter(EVERYWHERE))
        self.addresses = own_addresses() if host is None or host in EVERYWHERE else [host]
        folder = keys_folder()
        authority = load_authority(folder)
        key, self.certificate = authority.issue(self.addresses)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            file = Path(temporary) / "certificate.pem"
            _write_private(file, key, self.certificate)
            tls.load_cert_chain(file)
        site.extra[AUTHORITY] = authority.certificate.public_bytes(serialization.Encoding.DER)
        super().__init__(site, port, host or every, tls=tls, plan=plan, receive=receive)

    def urls(self, query: str = "") -> list[str]:
        """The page at each address of this machine, the best first."""
        return [self.url_at(address) + query for address in self.addresses]

    def introduction(self, query: str = "") -> str:
        """A code to scan for the best address, and how a phone accepts the certificate."""
        code = io.StringIO()
        segno.make_qr(self.urls(query)[0], error="L").terminal(code, compact=True)
        fingerprint = self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        authority = f"{self.urls()[0]}{AUTHORITY}"
        return INTRODUCTION.format(code=code.getvalue(), fingerprint=fingerprint, authority=authority)
