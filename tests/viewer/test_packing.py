"""How files travel to browsers: what is packed, and for whom."""

import gzip
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from nelf.viewer.packing import LEAST_PACKED, transfer
from nelf.viewer.server import ViewerServer
from nelf.viewer.site import Site
from tests.viewer.browsers import ask, fake_viewer, serving, small_bundle

TEXT = b"the same again; " * LEAST_PACKED
NOISE = random.Random(0).randbytes(4 * LEAST_PACKED)
BROWSER = "gzip, deflate, br, zstd"


@pytest.mark.parametrize(
    ("name", "content", "accepted", "encoding"),
    [
        ("index.html", TEXT, BROWSER, "gzip"),
        ("index.html", TEXT, "", None),
        ("index.html", TEXT, "gzip;q=0, identity", None),
        ("index.html", TEXT, "GZIP; q=0.5", "gzip"),
        ("index.html", TEXT[: LEAST_PACKED - 1], BROWSER, None),
        ("model.tflite", NOISE, BROWSER, None),
        ("model.tflite", NOISE + TEXT, BROWSER, "gzip"),
        ("icon.png", TEXT, BROWSER, None),
        ("litert.wasm.gz", TEXT, BROWSER, None),
    ],
)
def test_what_is_packed(name: str, content: bytes, accepted: str, encoding: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    for given in (content, tmp_path / name):
        sent = transfer(name, given, accepted)
        assert sent.encoding == encoding
        if encoding:
            assert isinstance(sent.content, bytes)
            assert gzip.decompress(sent.content) == content
            assert len(sent.content) < len(content)
        else:
            assert sent.content == given


def test_brotli_where_the_build_has_made_it(tmp_path: Path) -> None:
    """The same address gives a gzip file, or what is in it, which the browser unpacks by itself."""
    packed, shorter = tmp_path / "litert.wasm.gz", tmp_path / "litert.wasm.br"
    packed.write_bytes(b"gzip")
    assert transfer(packed.name, packed, BROWSER).content == packed
    shorter.write_bytes(b"brotli")
    sent = transfer(packed.name, packed, BROWSER)
    assert (sent.content, sent.encoding, sent.kind) == (shorter, "br", "application/wasm")
    assert transfer(packed.name, packed, "gzip").content == packed


def test_a_file_that_changes_is_packed_again(tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    for turn, content in enumerate((TEXT, TEXT[::-1])):
        file.write_bytes(content)
        os.utime(file, ns=(turn, turn))
        sent = transfer(file.name, file, BROWSER).content
        assert isinstance(sent, bytes)
        assert gzip.decompress(sent) == content


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ViewerServer]:
    built = fake_viewer(tmp_path / "assets", monkeypatch)
    (built / "index.html").write_bytes(TEXT)
    (built / "litert/litert.wasm.br").write_bytes(b"brotli")
    with serving(ViewerServer(Site(small_bundle(tmp_path / "web")), 0)) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_server_says(server: ViewerServer, method: str) -> None:
    status, head, body = ask(server, "/", method=method, accept=BROWSER)
    assert (status, gzip.decompress(body) if body else TEXT) == (200, TEXT)
    assert "Content-Encoding: gzip\r\n" in head
    assert "Content-Type: text/html; charset=utf-8\r\n" in head
    assert "Vary: Accept-Encoding\r\n" in head
    plain = ask(server, "/", method=method)[1]
    assert "Content-Encoding" not in plain
    assert f"Content-Length: {len(TEXT)}\r\n" in plain
    assert "Vary: Accept-Encoding\r\n" in plain
    status, head, body = ask(server, "/litert/litert.wasm.gz", accept=BROWSER)
    assert (status, body) == (200, b"brotli")
    assert "Content-Type: application/wasm\r\n" in head
    assert "Content-Encoding: br\r\n" in head


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/", False), ("/manifest.json", False), ("/model.tflite?v=0123456789abcdef", False), ("/nothing", False),
        ("/viewer/index-1.js", True), ("/viewer/index-2.js", False), ("/litert/litert.wasm.gz", False),
    ],
)  # fmt: skip
def test_what_a_browser_need_not_ask_for_again(server: ViewerServer, target: str, kept: bool) -> None:
    """Files of the page with a digest or a version in their names; a bundle may change while it is served."""
    head = ask(server, target)[1]
    assert ("Cache-Control: private, max-age=31536000, immutable" in head) == kept
    assert ("Cache-Control: no-cache" in head) != kept
