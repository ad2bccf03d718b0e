"""What browsers do to a server, for tests: raw requests, since clients normalise paths."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives import serialization

from nelf.viewer import site as assets
from nelf.viewer.phone import Authority
from nelf.viewer.server import ViewerServer

Served = TypeVar("Served", bound=ViewerServer)


@contextlib.contextmanager
def serving(server: Served) -> Iterator[Served]:
    """The server answers during the block, and is closed after it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: ViewerServer,
    target: str,
    host: str | None = "",
    method: str = "GET",
    body: bytes | None = None,
    trust: ssl.SSLContext | None = None,
    length: int | None = None,
    accept: str = "",
) -> tuple[int, str, bytes]:
    """Status, headers and body; sends the target unchanged. length: claimed, where it is not that of the body.

    accept: encodings of the body that the browser unpacks.
    """
    lines = [f"{method} {target} HTTP/1.1", "Connection: close"]
    if host is not None:
        lines.append(f"Host: {host or f'127.0.0.1:{server.server_port}'}")
    if body is not None:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    if accept:
        lines.append(f"Accept-Encoding: {accept}")
    with contextlib.ExitStack() as open_ones:
        connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.server_port), timeout=10))
        if trust:
            connection = open_ones.enter_context(trust.wrap_socket(connection, server_hostname="127.0.0.1"))
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, found = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), found


def trusting(authority: Authority) -> ssl.SSLContext:
    """A device that trusts this authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.certificate.public_bytes(serialization.Encoding.DER))
    return context


def fake_viewer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built viewer of a few files."""
    for name in ("index.html", "viewer/index-1.js", "litert/litert.wasm.gz"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"asset {name}")
    monkeypatch.setattr(assets, "ASSETS", folder)
    return folder


def small_bundle(folder: Path, **changed: Any) -> Path:
    """What the server reads of a bundle: 2x1 pixels, the second of them half transparent red."""
    (folder / "golden").mkdir(parents=True)
    (folder / "golden/a.rgba").write_bytes(bytes([0, 0, 255, 255, 128, 0, 0, 128]))
    (folder / "golden/poses.json").write_text(json.dumps({"views": [{"name": "a", "image": "golden/a.rgba"}]}))
    (folder / "model.tflite").write_bytes(b"model")
    files = [{"path": "model.tflite", "role": "model"}, {"path": "golden/a.rgba", "role": "golden"},
             {"path": "golden/poses.json", "role": "golden"}]  # fmt: skip
    manifest = {
        "name": "ball",
        "target": "web",
        "precision": "fp32",
        "image": {"width": 2, "height": 1, "channels": 4},
        "student": {"name": "s"},
        "golden": "golden/poses.json",
        "files": [{**file, "bytes": (folder / file["path"]).stat().st_size} for file in files],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | changed))
    return folder
