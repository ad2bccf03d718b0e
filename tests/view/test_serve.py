"""`nelf view`: what it serves, what it refuses, and how it ends. Raw sockets, since clients tidy paths up."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nelf.errors import BundleError, ConfigError
from nelf.view import assets
from nelf.view.serve import HEADERS, ViewerServer
from nelf.view.site import Site

SECRET = b"not for the browser"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the built viewer."""
    folder = tmp_path / "assets"
    for name in ("index.html", "viewer/index-1.js", "litert/litert.wasm.gz"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"asset {name}")
    monkeypatch.setattr(assets, "ASSETS", folder)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What the server looks at of a bundle, with a file beside it and one in it that nobody listed."""
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
    with ViewerServer(Site(bundle), 0) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: ViewerServer, target: str, host: str | None = "", method: str = "GET") -> tuple[int, str, bytes]:
    """Status, headers and body; the target goes out as it is."""
    lines = [f"{method} {target} HTTP/1.1", "Connection: close"]
    if host is not None:
        lines.append(f"Host: {host or f'127.0.0.1:{server.server_port}'}")
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


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
    with pytest.raises(BundleError, match=r"nowhere does not exist; give a folder that nelf export wrote"):
        Site(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"has no manifest\.json, so it is no bundle; give a folder"):
        Site(tmp_path)
    (bundle / "manifest.json").write_text('{"target": "ios"}')
    with pytest.raises(BundleError, match=r"is for ios, .* make one with: nelf export RUN --target web"):
        Site(bundle)
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"the web viewer is not built: run `make web` in the checkout"):
        Site(bundle)


def test_a_port_in_use(server: ViewerServer, bundle: Path) -> None:
    with pytest.raises(ConfigError, match=rf"port {server.server_port} is in use; choose another with --port"):
        ViewerServer(Site(bundle), server.server_port)


COMMAND = """
import signal
import sys
from pathlib import Path
from nelf.view import assets
assets.ASSETS = Path(sys.argv.pop())
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in its background
from nelf.cli import main
main()
"""


def test_the_command_until_ctrl_c(built: Path, bundle: Path) -> None:
    arguments = [sys.executable, "-c", COMMAND, "view", str(bundle), "--no-open", str(built)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as answer:  # only once it serves is Ctrl-C what ends it
            assert answer.read() == b"asset index.html"
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert errors.splitlines() == ["Ctrl-C ends it"]
