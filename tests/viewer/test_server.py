"""`nelf view`: what it serves and refuses, and how it ends."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nelf.core.errors import BundleError, ConfigError
from nelf.viewer import site as assets
from nelf.viewer.server import HEADERS, ViewerServer, is_our_name
from nelf.viewer.site import Site
from tests.viewer.browsers import ask, fake_viewer, serving

SECRET = b"not for the browser"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake viewer."""
    return fake_viewer(tmp_path / "assets", monkeypatch)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle for the server, with a file next to it and one in it that is not listed."""
    folder = tmp_path / "bundle"
    (folder / "golden").mkdir(parents=True)
    names = ["model.tflite", "golden/poses.json", "golden/a b.png", "golden/linked.png", "../secret.txt", "golden"]
    manifest = {"target": "web", "files": [{"path": name} for name in (*names, str(tmp_path / "secret.txt"))]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("model.tflite", "golden/poses.json", "golden/a b.png", "unlisted.txt"):
        (folder / name).write_text(f"bundle {name}")
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (folder / "golden/linked.png").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def server(built: Path, bundle: Path) -> Iterator[ViewerServer]:
    with serving(ViewerServer(Site(bundle), 0)) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "content", "kind"),
    [
        ("/", b"asset index.html", "text/html; charset=utf-8"),
        ("/?backend=wasm", b"asset index.html", "text/html; charset=utf-8"),
        ("/viewer/index-1.js", b"asset viewer/index-1.js", "text/javascript; charset=utf-8"),
        ("/litert/litert.wasm.gz", b"asset litert/litert.wasm.gz", "application/gzip"),
        ("/model.tflite", b"bundle model.tflite", "application/octet-stream"),
        ("/golden/poses.json", b"bundle golden/poses.json", "application/json"),
        ("/golden/a%20b.png", b"bundle golden/a b.png", "image/png"),
    ],
)
def test_it_serves_the_viewer_and_the_bundle(server: ViewerServer, target: str, content: bytes, kind: str) -> None:
    status, head, body = ask(server, target)
    assert (status, body) == (200, content)
    assert f"Content-Type: {kind}\r\n" in head
    assert "Content-Encoding" not in head
    for name, value in HEADERS.items():
        assert f"{name}: {value}" in head
    status, head, body = ask(server, target, method="HEAD")
    assert (status, body) == (200, b"")
    assert f"Content-Length: {len(content)}" in head


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/golden/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/golden%2fposes.json",
        "/golden%5cposes.json",
        "/golden\\poses.json",
        "//model.tflite",
        "/./model.tflite",
        "/model.tflite/",
        "/model.tflite%00.png",
        "/%ff",
        "/%252e%252e/secret.txt",
        "secret.txt",
        "http://127.0.0.1/model.tflite",
        "*",
        "/golden",
        "/golden/",
        "/golden/linked.png",
        "/unlisted.txt",
        "/viewer",
        "/etc/passwd",
        "//etc/passwd",
    ],
)
def test_nothing_else_has_a_name(server: ViewerServer, target: str) -> None:
    status, head, body = ask(server, target)
    assert status == 404
    assert SECRET not in body
    assert b"bundle" not in body
    assert "X-Content-Type-Options: nosniff" in head


def test_an_absolute_name_in_the_manifest_is_none(server: ViewerServer, bundle: Path) -> None:
    assert ask(server, f"/{bundle.parent}/secret.txt")[0] == 404
    assert ask(server, f"{bundle.parent}/secret.txt")[0] == 404


@pytest.mark.parametrize(
    "host", [None, "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
def test_another_host_is_refused(server: ViewerServer, host: str | None) -> None:
    status, _, body = ask(server, "/", host and host.format(port=server.server_port))
    assert status == 421
    assert b"asset" not in body


@pytest.mark.parametrize(
    ("asked", "port", "host", "ours"),
    [
        ("127.0.0.1", 80, "127.0.0.1", True), ("localhost", 80, "127.0.0.1", True),
        ("localhost:80", 80, "127.0.0.1", True),
        ("evil.example", 80, "127.0.0.1", False), ("10.0.0.7", 80, "127.0.0.1", False),
        ("127.0.0.1", 81, "127.0.0.1", False), ("10.0.0.7:81", 81, "0.0.0.0", True),
        ("LOCALHOST:81", 81, "0.0.0.0", True), ("evil.example:81", 81, "0.0.0.0", False),
        ("[fe80::1]:81", 81, "::", True), ("[fe80::1]", 80, "::", True), ("[fe80::1]", 81, "::", False),
        ("", 80, "::", False),
    ],
)  # fmt: skip
def test_what_it_may_be_called(asked: str, port: int, host: str, ours: bool) -> None:
    """Browsers omit ":80". With --host it accepts its addresses only: names can point anywhere."""
    assert is_our_name(asked, port, host) == ours


def test_its_other_name_is_not(server: ViewerServer) -> None:
    assert ask(server, "/", f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_only_get_and_head(server: ViewerServer, method: str) -> None:
    assert ask(server, "/", method=method)[0] == 501


def test_only_this_machine_is_listened_to(server: ViewerServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_new_export_is_served_at_once(server: ViewerServer, bundle: Path) -> None:
    (bundle / "manifest.json").write_text('{"files": [{"path": "unlisted.txt"}]}')
    assert ask(server, "/unlisted.txt")[2] == b"bundle unlisted.txt"
    assert ask(server, "/model.tflite")[0] == 404


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"files": 3}', '{"files": [3, {"path": 4}]}', "[" * 100000])
def test_a_damaged_manifest_is_for_the_page_to_report(server: ViewerServer, bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    assert ask(server, "/manifest.json")[2] == text.encode()
    assert ask(server, "/model.tflite")[0] == 404


def test_what_cannot_be_shown(built: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match=r"nowhere does not exist; give the folder of a run"):
        Site(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"has no manifest\.json, so it is not a bundle; give the folder of a run"):
        Site(tmp_path)
    (bundle / "manifest.json").write_text('{"target": "ios"}')
    with pytest.raises(BundleError, match=r"is for ios, .* make one with: nelf export RUN --target web"):
        Site(bundle)
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"the web viewer is not built: run `make web` in the checkout"):
        Site(bundle)


@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
def test_told_to_listen_to_others(built: Path, bundle: Path, host: str, address: str) -> None:
    """Beyond loopback every address is below a token."""
    with serving(ViewerServer(Site(bundle), 0, host)) as running:
        token = f"{running.token}/" if host == "0.0.0.0" else ""
        assert len(token) in (0, 23)
        assert running.url == f"http://{address}:{running.server_port}/{token}"
        with urllib.request.urlopen(f"http://127.0.0.2:{running.server_port}/{token}", timeout=10) as answer:
            assert answer.read() == b"asset index.html"


def test_without_the_token_nothing_is_said(built: Path, bundle: Path) -> None:
    with serving(ViewerServer(Site(bundle), 0, "0.0.0.0")) as running:
        token, earlier = running.token, ViewerServer(Site(bundle), 0, "0.0.0.0")
        earlier.server_close()
        assert ask(running, f"/{token}/")[2] == b"asset index.html"
        assert ask(running, f"/{token}/?bundle=x")[2] == b"asset index.html"
        assert ask(running, f"/{token}")[0] == 404  # the page's relative addresses would lead elsewhere
        targets = ["/", "/manifest.json", "//", f"/{earlier.token}/", f"/{token[:-1]}/", f"/{token}x/", f"//{token}/",
                   f"/%2e/{token}/", f"/x/../{token}/", f"{token}/", f"http://127.0.0.1/{token}/", "/\xe9\xff/",
                   f"/{token}?/"]  # fmt: skip
        for method in ("GET", "HEAD", "POST"):
            for target in targets:
                status, _, body = ask(running, target, method=method)
                assert status == 403, target
                assert token.encode() not in body
        assert b"scan the code in its terminal again" in ask(running, "/")[2]
        assert ask(running, f"/{token}/../secret.txt")[0] == 404


def test_what_the_page_learns_of_the_server(server: ViewerServer) -> None:
    assert json.loads(ask(server, "/server.json")[2]) == {"live": True, "phone": False, "benchmark": None}


def test_a_header_without_end_is_refused(server: ViewerServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 60_000 + b"\r\n") * 3)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


def test_callers_without_number(built: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those above the limit are sent away at once; the others are still served, and leave room."""
    monkeypatch.setattr("nelf.viewer.server.MOST_CONNECTIONS", 2)
    with serving(ViewerServer(Site(bundle), 0)) as running:
        with contextlib.ExitStack() as connections:
            *_, third = (
                connections.enter_context(socket.create_connection(("127.0.0.1", running.server_port), timeout=10))
                for _ in range(3)
            )
            assert third.recv(1) == b""
        for _ in range(100):
            if running.places.acquire(blocking=False):
                running.places.release()
                break
            time.sleep(0.05)
        assert ask(running, "/")[0] == 200


@pytest.mark.parametrize(
    ("host", "words"),
    [("here", "is not an address; use one"), ("192.0.2.1", "is not an address of this machine; use 0.0.0.0")],
)
def test_a_host_that_is_none(built: Path, bundle: Path, host: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ViewerServer(Site(bundle), 0, host)


def test_a_browser_that_leaves_in_the_middle(
    server: ViewerServer, bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (bundle / "model.tflite").write_bytes(bytes(1 << 24))  # more than the sockets hold
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(f"GET /model.tflite HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n".encode())
        connection.recv(100)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as if its tab crashed
    for _ in range(100):
        if threading.active_count() <= 2:
            break
        time.sleep(0.05)
    assert ask(server, "/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_mistake_of_ours_is_still_told(
    server: ViewerServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Site, "content", lambda self, name: 1 / 0)
    with pytest.raises(IndexError):  # there is no answer
        ask(server, "/")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_port_in_use(server: ViewerServer, bundle: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"port {server.server_port} is in use; choose another with --port, or leave"
    ):
        ViewerServer(Site(bundle), server.server_port)


COMMAND = """
import sys
from pathlib import Path
from nelf.viewer import site as assets
assets.ASSETS = Path(sys.argv.pop())
from nelf.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "host"), [("bundle", "127.0.0.1"), ("--example", "127.0.0.1"), ("bundle", "0.0.0.0")]
)
def test_the_command_until_ctrl_c(built: Path, bundle: Path, shown: str, host: str) -> None:
    what = str(bundle) if shown == "bundle" else shown
    arguments = [sys.executable, "-c", COMMAND, "view", what, "--no-open", "--host", host, str(built)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/" + ("" if host == "127.0.0.1" else r"[\w-]{22}/"), url)
        with urllib.request.urlopen(url, timeout=10) as answer:  # only once it serves is Ctrl-C what ends it
            assert answer.read() == b"asset index.html"
        with urllib.request.urlopen(f"{url}manifest.json", timeout=10) as answer:
            assert answer.read() == ((bundle if shown == "bundle" else assets.EXAMPLE) / "manifest.json").read_bytes()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    warned, *rest = errors.splitlines() if host != "127.0.0.1" else ["", *errors.splitlines()]
    assert rest == ["Ctrl-C ends it"]
    assert host == "127.0.0.1" or warned.startswith(
        "WARNING: --host 0.0.0.0 is not encrypted: who reads the traffic sees it all; --phone is, by HTTPS"
    )
