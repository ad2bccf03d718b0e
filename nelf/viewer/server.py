"""A server that shows one bundle in the browser; by default only on this machine."""

import contextlib
import errno
import http.server
import ipaddress
import os
import shutil
import socket
import sys
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from nelf.core.errors import ConfigError
from nelf.viewer.site import Site

ADDRESS = "127.0.0.1"
OTHER_NAME = "localhost"
EVERYWHERE = {"0.0.0.0": ADDRESS, "::": "::1"}
HTTP_PORT = 80
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".gz": "application/gzip",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    # These two isolate the page: otherwise browsers give WebAssembly only one thread.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PATIENCE = 30.0  # seconds that a connection may be silent


class ViewerServer(http.server.ThreadingHTTPServer):
    """Serves a Site, with one thread per connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, port: int, host: str = ADDRESS) -> None:
        """port: 0 takes a free one. host: an address of this machine. Raises ConfigError if either is unavailable."""
        self.site, self.host = site, host
        try:
            self.address_family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        except ValueError as error:
            raise ConfigError(f"--host {host} is not an address; use one of this machine, or 0.0.0.0") from error
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"--host {host} is not an address of this machine; use 0.0.0.0 for all") from error
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if in_use else f"cannot be opened ({error})"
            raise ConfigError(f"port {port} {why}; choose another with --portor leave it out") from error

    @property
    def url(self) -> str:
        """URL for this machine itself."""
        return f"http://{_in_url(EVERYWHERE.get(self.host, self.host))}:{self.server_port}/"

    def may_be_called(self, host: str) -> bool:
        """Whether a browser may use this name for the server. Other names belong to pages that redirect here."""
        return is_our_name(host, self.server_port, self.host)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers close connections at any time; that is not an error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def is_our_name(asked: str, port: int, host: str = ADDRESS) -> bool:
    """Whether `asked`, the Host of a request, is a name of the server at `host` and `port`.

    Owners of names can make them point anywhere (DNS rebinding), so only addresses and localhost count.
    """
    name, separator, number = asked.rpartition(":")
    if not separator or asked.endswith("]"):  # browsers omit HTTP's default port
        name, number = asked, str(HTTP_PORT)
    if number != str(port):
        return False
    if host == ADDRESS or name.lower() == OTHER_NAME:
        return name.lower() in (ADDRESS, OTHER_NAME)
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD with files of the site."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version = "nelf"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.may_be_called(hosts[0]):
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Wrong host")
        # BaseHTTPRequestHandler folds leading slashes in self.path, but not in the request line.
        path = self.server.site.file(self.requestline.split()[1])
        try:
            stream = path.open("rb") if path else None
        except OSError:
            stream = None
        if path is None or stream is None:
            return self.send_error(HTTPStatus.NOT_FOUND, "There is no such file")
        with stream:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            self.end_headers()
            if with_body:
                shutil.copyfileobj(stream, self.wfile)
        return None

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the terminal is for what matters."""


def view(
    bundle: Path,
    port: int = 0,
    host: str = ADDRESS,
    ready: Callable[[str], None] = lambda url: None,
    open_browser: bool = True,
) -> None:
    """Show the bundle until Ctrl-C. `ready` gets the URL once the server listens."""
    with ViewerServer(Site(bundle), port, host) as server, contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
        ready(server.url)
        if open_browser:
            webbrowser.open(server.url)
        server.serve_forever()
