"""`nelf view --phone`: HTTPS by our own authority, the token, and several devices. Real connections over loopback."""

import contextlib
import ipaddress
import json
import socket
import ssl
import stat
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nelf.core.errors import ConfigError
from nelf.viewer import phone
from nelf.viewer.phone import Authority, PhoneServer, load_authority, own_addresses
from nelf.viewer.server import HEADERS
from nelf.viewer.site import Site
from tests.viewer.browsers import ask, fake_viewer, serving, small_bundle, trusting


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(phone, "keys_folder", lambda: tmp_path / "cache" / "authority")
    return tmp_path / "cache" / "authority"


@pytest.fixture
def server(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneServer]:
    fake_viewer(tmp_path / "assets", monkeypatch)
    with serving(PhoneServer(Site(small_bundle(tmp_path / "web")), 0, "127.0.0.1")) as running:
        yield running


def test_the_bundle_over_https(server: PhoneServer, keys: Path) -> None:
    trust, token = trusting(load_authority(keys)), server.token
    assert server.url == f"https://127.0.0.1:{server.server_port}/{token}/"
    status, head, body = ask(server, f"/{token}/", trust=trust)
    assert (status, body) == (200, b"asset index.html")
    assert all(f"{name}: {value}" in head for name, value in HEADERS.items())
    assert ask(server, f"/{token}/model.tflite", trust=trust)[2] == b"model"
    state = json.loads(ask(server, f"/{token}/server.json", trust=trust)[2])
    assert state == {"live": True, "phone": True, "benchmark": None}
    assert ask(server, "/", trust=trust)[0] == 403
    assert ask(server, "/manifest.json", trust=trust)[0] == 403
    assert ask(server, f"/{token}/report", method="POST", body=b"{}", trust=trust)[0] == 501


def test_the_authority_is_offered(server: PhoneServer, keys: Path) -> None:
    authority = load_authority(keys)
    status, head, body = ask(server, f"/{server.token}/authority.crt", trust=trusting(authority))
    assert (status, "Content-Type: application/x-x509-ca-cert\r\n" in head) == (200, True)
    assert x509.load_der_x509_certificate(body) == authority.certificate


def test_a_device_that_does_not_trust_us(server: PhoneServer, keys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It turns away, others go on, and the terminal stays silent."""
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(server, f"/{server.token}/", trust=ssl.create_default_context())
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            plain.recv(100)
    assert ask(server, f"/{server.token}/", trust=trusting(load_authority(keys)))[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_silent_caller_holds_up_nobody(server: PhoneServer, keys: Path) -> None:
    """The handshake of one connection does not keep others from being accepted."""
    trust = trusting(load_authority(keys))
    address = ("127.0.0.1", server.server_port)
    with socket.create_connection(address, timeout=10), socket.create_connection(address, timeout=10):
        began = time.monotonic()
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(server, f"/{server.token}/", trust=trust)[0]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 4
        assert time.monotonic() - began < 8  # a handshake may take 30 s


def test_each_run_has_a_token_and_a_certificate_of_its_own(server: PhoneServer, keys: Path, tmp_path: Path) -> None:
    trust = trusting(load_authority(keys))
    with serving(PhoneServer(Site(tmp_path / "web"), 0, "127.0.0.1")) as other:
        assert other.token != server.token
        assert other.certificate.serial_number != server.certificate.serial_number
        assert ask(other, f"/{server.token}/", trust=trust)[0] == 403
        assert ask(other, f"/{other.token}/", trust=trust)[0] == 200  # the authority stays


def test_keys_are_private_and_kept(server: PhoneServer, keys: Path) -> None:
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert [path.name for path in keys.iterdir()] == ["authority.pem"], "the server's own key is not kept"
    assert stat.S_IMODE((keys / "authority.pem").stat().st_mode) == 0o600
    assert load_authority(keys).certificate == load_authority(keys).certificate


def test_an_authority_that_ends_is_replaced(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "AUTHORITY_DAYS", phone.LEAST_DAYS)
    old = load_authority(keys)
    monkeypatch.undo()
    assert load_authority(keys).certificate != old.certificate


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:300], lambda text: text.replace("A", "B")])
def test_a_damaged_authority(keys: Path, damage: object) -> None:
    load_authority(keys)
    file = keys / "authority.pem"
    file.write_text(damage(file.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"authority\.pem is damaged; remove it, and let your phones trust the new"):
        load_authority(keys)


def test_the_certificate_is_one_that_phones_take(keys: Path) -> None:
    """Apple's demands: names as alternatives, purpose, at most 825 days. https://support.apple.com/HT210176"""
    authority = load_authority(keys)
    _, certificate = authority.issue(["192.168.1.7", "fd00::7"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    assert found == ["127.0.0.1", "192.168.1.7", "fd00::7"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 825
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    certificate.verify_directly_issued_by(authority.certificate)


def test_the_authority_vouches_for_no_name(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even with its key nobody can play another site to the phone that trusts it."""
    authority = load_authority(keys)
    assert handshake(authority, "localhost", keys) is None
    monkeypatch.setattr(phone, "OTHER_NAME", "example.org")
    refused = handshake(authority, "example.org", keys)
    assert refused is not None
    assert "permitted subtree violation" in str(refused)


def handshake(authority: Authority, name: str, folder: Path) -> Exception | None:
    """Why a device that trusts the authority refuses its certificate for `name`."""
    file = folder / "certificate.pem"
    phone._write_private(file, *authority.issue([]))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    device = trusting(authority).wrap_bio(back, there, server_hostname=name)
    server = ours.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (device, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return error
    return None


Address = namedtuple("Address", "family address")
State = namedtuple("State", "isup")


def networks(monkeypatch: pytest.MonkeyPatch, up: bool = True) -> None:
    """A machine with two networks, a container's bridge and a cable that is not plugged in."""
    found = {
        "lo": [Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1")],
        "docker0": [Address(socket.AF_INET, "172.17.0.1")],
        "wlan0": [Address(socket.AF_INET, "192.168.1.7"), Address(socket.AF_INET6, "fe80::7%wlan0"),
                  Address(socket.AF_INET6, "fd00::7"), Address(socket.AF_PACKET, "02:00:00:00:00:01")],
        "eth0": [Address(socket.AF_INET, "10.0.0.7")],
    }  # fmt: skip
    states = {name: State((up or name == "lo") and name != "eth0") for name in found}
    monkeypatch.setattr(phone.psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(phone.psutil, "net_if_stats", lambda: states)


def test_addresses_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    networks(monkeypatch)
    assert own_addresses() == ["172.17.0.1", "192.168.1.7", "fd00::7"]
    monkeypatch.setattr(phone.socket.socket, "getsockname", lambda self: ("192.168.1.7", 9))
    monkeypatch.setattr(phone.socket.socket, "connect", lambda self, address: None)
    assert own_addresses()[0] == "192.168.1.7"  # the way to most others
    networks(monkeypatch, up=False)
    with pytest.raises(ConfigError, match="no address that a phone could reach; connect it to the phone's network"):
        own_addresses()


def test_what_the_terminal_says(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_viewer(tmp_path / "assets", monkeypatch)
    networks(monkeypatch)
    with PhoneServer(Site(small_bundle(tmp_path / "web"))) as server:
        port, token = server.server_port, server.token
        assert server.server_address[0] in ("::", "0.0.0.0")
        urls = [f"https://{address}:{port}/{token}/" for address in ("172.17.0.1", "192.168.1.7", "[fd00::7]")]
        assert server.urls() == urls
        assert server.urls("?benchmark")[0] == f"{urls[0]}?benchmark"
        said = server.introduction()
        assert said.count("\N{FULL BLOCK}") + said.count("\N{LOWER HALF BLOCK}") > 100
        digest = server.certificate.fingerprint(hashes.SHA256())
        assert ":".join(f"{byte:02X}" for byte in digest) in said
        for system in ("iOS", "Android"):
            assert f"\n{system}: tap " in said
        assert f"open {urls[0]}authority.crt" in said
        names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert ipaddress.ip_address("192.168.1.7") in names.get_values_for_type(x509.IPAddress)


def test_a_port_in_use(server: PhoneServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"port {server.server_port} is in use; choose another with --port"):
        PhoneServer(Site(tmp_path / "web"), server.server_port, "127.0.0.1")
