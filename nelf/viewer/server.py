"""A server that shows bundles in the browser; by default only on this machine."""

import contextlib
import errno
import hmac
import http.client
import http.server
import io
import ipaddress
import json
import os
import secrets
import shutil
import socket
import ssl
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

from nelf.core.errors import ConfigError
from nelf.viewer.packing import transfer
from nelf.viewer.site import Site, name_of

ADDRESS = "127.0.0.1"
OTHER_NAME = "localhost"
EVERY_VERSION = "::"
EVERYWHERE = {"0.0.0.0": ADDRESS, EVERY_VERSION: ADDRESS}
HTTP_PORT, HTTPS_PORT = 80, 443
TOKEN_BYTES = 16
MOST_CONNECTIONS = 64
MOST_HEADER = 1 << 17  # bytes, with the request line
MOST_REPORT = 1 << 20  # bytes
STATE, REPORT = "server.json", "report"
WRONG_TOKEN = "nelf makes a new address each time that it starts: scan the code in its terminal again"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".gz": "application/gzip",
    ".jpg": "image/jpeg",
    ".webmanifest": "application/manifest+json",
    ".crt": "application/x-x509-ca-cert",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    # These two isolate the page: otherwise browsers give WebAssembly only one thread.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
ASK_AGAIN, LASTING = "no-cache", "private, max-age=31536000, immutable"
PATIENCE = 30.0  # seconds that a connection may be silent

Receive = Callable[[bytes, str], tuple[HTTPStatus, str]]
"""Takes the body of a report and the address that it comes from; gives the answer."""


class ViewerServer(http.server.ThreadingHTTPServer):
    """Serves a Site, with one thread per connection.

    Beyond this machine's loopback everything lies below a random token, and what does not begin with it is refused.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        site: Site,
        port: int,
        host: str = ADDRESS,
        *,
        tls: ssl.SSLContext | None = None,
        plan: Mapping[str, Any] | None = None,
        receive: Receive | None = None,
    ) -> None:
        """port: 0 takes a free one. host: an address of this machine. Raises ConfigError if either is unavailable.

        plan: of a benchmark, for the page; receive: takes its reports.
        """
        self.site, self.host, self.tls, self.receive = site, host, tls, receive
        self.places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        try:
            address = ipaddress.ip_address(host)
        except ValueError as error:
            raise ConfigError(f"--host {host} is not an address; use one of this machine, or 0.0.0.0") from error
        self.address_family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        open_to_others = tls is not None or receive is not None or not address.is_loopback
        self.token = secrets.token_urlsafe(TOKEN_BYTES) if open_to_others else ""
        state = {"live": True, "phone": tls is not None, "benchmark": plan}
        site.extra[STATE] = json.dumps(state).encode()
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"--host {host} is not an address of this machine; use 0.0.0.0 for all") from error
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "is in use" if in_use else f"cannot be opened ({error})"
            raise ConfigError(f"port {port} {why}; choose another with --port, or leave it out") from error

    def server_bind(self) -> None:
        """Listen for IPv4 too where all of IPv6 is listened to."""
        if self.host == EVERY_VERSION:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    @property
    def url(self) -> str:
        """URL for this machine itself."""
        return self.url_at(EVERYWHERE.get(self.host, self.host))

    def url_at(self, address: str) -> str:
        """URL for those who reach this machine at `address`."""
        shown = f"[{address}]" if ":" in address else address
        token = f"{self.token}/" if self.token else ""
        return f"{'https' if self.tls else 'http'}://{shown}:{self.server_port}/{token}"

    def may_be_called(self, host: str) -> bool:
        """Whether a browser may use this name for the server. Other names belong to pages that redirect here."""
        return is_our_name(host, self.server_port, self.host, HTTPS_PORT if self.tls else HTTP_PORT)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Close a connection at once if there are too many."""
        if self.places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make room for another connection in the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: a silent caller holds up nobody else."""
        if self.tls is None:
            return super().finish_request(request, client_address)
        request.settimeout(PATIENCE)
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers close connections at any time, and refuse certificates; that is not an error."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError | TimeoutError):
            super().handle_error(request, client_address)


def is_our_name(asked: str, port: int, host: str = ADDRESS, default: int = HTTP_PORT) -> bool:
    """Whether `asked`, the Host of a request, is a name of the server at `host` and `port`.

    Owners of names can make them point anywhere (DNS rebinding), so only addresses and localhost count. default: the
    port that browsers omit.
    """
    name, separator, number = asked.rpartition(":")
    if not separator or asked.endswith("]"):  # browsers omit the default port
        name, number = asked, str(default)
    if number != str(port):
        return False
    if host == ADDRESS or name.lower() == OTHER_NAME:
        return name.lower() in (ADDRESS, OTHER_NAME)
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class LimitedReader(io.BufferedReader):
    """What a caller sends. Its header may have so many bytes and no more."""

    left = MOST_HEADER

    def readline(self, size: int | None = -1) -> bytes:
        """As of a file. Raises LineTooLong, which becomes an answer, beyond the limit."""
        line = super().readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise http.client.LineTooLong("header")
        return line


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD with files of the site, and takes the reports of a benchmark."""

    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version = "nelf"
    sys_version = ""
    timeout = PATIENCE
    rbufsize = 0
    rfile: LimitedReader
    cache_control: str

    def setup(self) -> None:
        """Read with a limit."""
        super().setup()
        self.rfile = LimitedReader(self.connection.makefile("rb", buffering=0))

    def handle_one_request(self) -> None:
        """Each request has the limit for itself."""
        self.rfile.left = MOST_HEADER
        self.cache_control = ASK_AGAIN
        super().handle_one_request()

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_POST(self) -> None:
        """Take a report of a benchmark."""
        name, receive = self._asked(), self.server.receive
        if name is None:
            return None
        if receive is None or name != REPORT:
            return self.send_error(HTTPStatus.NOT_IMPLEMENTED, "Nothing is measured here")
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) <= len(str(1 << 63))):
            return self.send_error(HTTPStatus.LENGTH_REQUIRED, "Say how long the report is")
        if int(length) > MOST_REPORT:
            return self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A report has at most {MOST_REPORT} bytes")
        status, said = receive(self.rfile.read(int(length)), self.client_address[0])
        body = said.encode()
        self.send_response(status)
        self.send_header("Content-Type", TYPES[".txt"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def _asked(self) -> str | None:
        """Name of the file that is asked for; None if the request was refused."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.may_be_called(hosts[0]):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Wrong host")
            return None
        # BaseHTTPRequestHandler folds leading slashes in self.path, but not in the request line.
        target = self.requestline.split()[1]
        if token := self.server.token:
            given, slash, rest = target.removeprefix("/").partition("/")
            if not target.startswith("/") or not hmac.compare_digest(given.encode("latin-1"), token.encode()):
                self.send_error(HTTPStatus.FORBIDDEN, "This address is not valid", WRONG_TOKEN)
                return None
            target = f"/{rest}" if slash else ""  # without it relative addresses would lead elsewhere
        name = name_of(target)
        if name is None:
            self.send_error(HTTPStatus.NOT_FOUND, "There is no such file")
        return name

    def _answer(self, with_body: bool) -> None:
        name = self._asked()
        if name is None:
            return None
        found = self.server.site.content(name)
        try:
            sent = transfer(name, found, self.headers.get("Accept-Encoding", "")) if found else None
            stream = sent and (sent.content.open("rb") if isinstance(sent.content, Path) else io.BytesIO(sent.content))
        except OSError:
            sent = stream = None
        if not sent or not stream:
            return self.send_error(HTTPStatus.NOT_FOUND, "There is no such file")
        with stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            self.send_response(HTTPStatus.OK)
            kind = sent.kind or TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
            self.send_header("Content-Type", kind)
            if sent.encoding:
                self.send_header("Content-Encoding", sent.encoding)
            self.send_header("Content-Length", str(size))
            self.send_header("Vary", "Accept-Encoding")
            self.cache_control = LASTING if sent.lasting else ASK_AGAIN
            self.end_headers()
            if with_body:
                shutil.copyfileobj(stream, self.wfile)
        return None

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", self.cache_control)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the terminal is for what matters."""


def serve(server: ViewerServer, browser: str | None = None) -> None:
    """Answer until Ctrl-C. browser: the address to open in this machine's."""
    with contextlib.suppress(KeyboardInterrupt):
        if browser:
            webbrowser.open(browser)
        server.serve_forever()
