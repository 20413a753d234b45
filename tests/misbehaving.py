"""A server on loopback that misbehaves as told, written by hand: storms of 429, cut bodies, dropped connections."""

import contextlib
import email.parser
import email.utils
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

DRIP_SECONDS = 0.02
"""Between two bytes of an answer that drips."""


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Hangup(Exception):
    """Closes the connection without another byte."""


Behaviour = Callable[["MisbehavingServer", Received], bytes]
"""What to do with a request: what it returns is sent as it is. May raise :class:`Hangup`."""


@dataclass
class MisbehavingServer:
    """Answers the requests by ``script``, one behaviour each, and those after it by ``usual``."""

    usual: Behaviour
    script: list[Behaviour] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        """Answer a connection's requests until either side closes it."""
        with connection, contextlib.suppress(OSError, Hangup):
            stream = connection.makefile("rb")
            while (request := _read(stream)) is not None:
                with self._lock:
                    self.received.append(request)
                    behaviour = self.script.pop(0) if self.script else self.usual
                if behaviour in _DRIPPING:
                    self._drip(connection, _DRIPPING[behaviour])
                    return
                answer = behaviour(self, request)
                connection.sendall(answer)
                if b"Connection: close" in answer:
                    return

    def ids(self, header: str) -> list[str]:
        """The values of a header in the requests, in their order."""
        return [request.headers[header] for request in self.received]

    def _drip(self, connection: socket.socket, beginning: bytes) -> None:
        connection.sendall(beginning)
        while not self.stopping.wait(DRIP_SECONDS):
            connection.sendall(b" ")


def _read(stream: Any) -> Received | None:
    line = stream.readline().decode("latin-1")
    if not line.strip():
        return None
    method, target, _ = line.split(" ", 2)
    lines = []
    while (header := stream.readline()) not in (b"\r\n", b""):
        lines.append(header.decode("latin-1"))
    headers = email.parser.Parser().parsestr("".join(lines))
    return Received(method, target, headers, stream.read(int(headers.get("Content-Length", 0))))


@contextlib.contextmanager
def misbehaving(usual: Behaviour, *script: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[MisbehavingServer]:
    """A server on a free port of loopback; with ``tls``, over TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    server = MisbehavingServer(usual, list(script), url=f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                connection = tls.wrap_socket(connection, server_side=True) if tls else connection
                threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)


def raw(status: int, body: bytes, /, content_type: str = "application/json", **headers: str) -> bytes:
    """The bytes of an answer; ``headers`` with underscores for hyphens."""
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Odd')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(status: int, value: Any = None, **headers: str) -> Behaviour:
    """Answer JSON, or nothing."""
    body = b"" if value is None else json.dumps(value).encode()
    return lambda _, __: raw(status, body, **headers)


def rate_limited(retry_after: str = "1", **headers: str) -> Behaviour:
    """Partner Center's 429, whose body is its gateway's."""
    message = f"Rate limit is exceeded. Try again in {retry_after} seconds."
    return answer(429, {"statusCode": 429, "message": message}, Retry_After=retry_after, **headers)


def unavailable(retry_after: str = "1") -> Behaviour:
    """A 503 that says when to come back."""
    return answer(503, {"code": "800003", "description": "The database cannot be reached."}, Retry_After=retry_after)


def fault(status: int) -> Behaviour:
    """A fault of the service, after which nothing is done."""
    return answer(status, {"code": 800003, "description": "A fault.", "data": [], "source": "test"})


def html(status: int) -> Behaviour:
    """The page of a gateway that stands before the service."""
    page = b"<html><body><h1>Bad Gateway</h1></body></html>"
    return lambda _, __: raw(status, page, "text/html", Connection="close")


def hang_up(_: MisbehavingServer, __: Received) -> bytes:
    """Close the connection as soon as the request is read: nobody knows whether it was done."""
    raise Hangup


def drip(_: MisbehavingServer, __: Received) -> bytes:
    """Send a body's bytes one now and then, for ever; the server sees to it."""
    return _DRIPPING[drip]


def drip_headers(_: MisbehavingServer, __: Received) -> bytes:
    """The same with a header's."""
    return _DRIPPING[drip_headers]


_DRIPPING: dict[Behaviour, bytes] = {
    drip: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
    drip_headers: b"HTTP/1.1 200 OK\r\nX-Header:",
}


def forward(url: str) -> Behaviour:
    """Hand the request to a service and its answer back: what misbehaves is between the client and a real service."""
    host = urlsplit(url).netloc

    def through(_: MisbehavingServer, request: Received) -> bytes:
        connection = http.client.HTTPConnection(host, timeout=60)
        with contextlib.closing(connection):
            connection.request(request.method, request.target, request.body or None, dict(request.headers))
            response = connection.getresponse()
            body = response.read()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in _OWN}
            return raw(response.status, body, response.headers.get("Content-Type", "text/plain"), **kept)

    return through


_OWN = ("content-length", "content-type", "transfer-encoding", "connection")


def then_hang_up(behaviour: Behaviour) -> Behaviour:
    """Have the request done, and lose the answer."""

    def lose(server: MisbehavingServer, request: Received) -> bytes:
        behaviour(server, request)
        raise Hangup

    return lose


def then_cut(behaviour: Behaviour) -> Behaviour:
    """Have the request done, and cut the answer short in its body."""

    def cut(server: MisbehavingServer, request: Received) -> bytes:
        whole = behaviour(server, request)
        head, _, body = whole.partition(b"\r\n\r\n")
        return head + b"\r\nConnection: close\r\n\r\n" + body[: len(body) // 2]

    return cut


def then_cut_headers(behaviour: Behaviour) -> Behaviour:
    """Have the request done, and cut the answer short in its headers."""

    def cut(server: MisbehavingServer, request: Received) -> bytes:
        status_line, _, _ = behaviour(server, request).partition(b"\r\n")
        return status_line + b"\r\nConnection: close\r\nContent-Ty"

    return cut


def then_cut_chunks(behaviour: Behaviour) -> Behaviour:
    """The same with an answer that is sent in chunks, the last of which never comes."""

    def cut(server: MisbehavingServer, request: Received) -> bytes:
        head, _, body = behaviour(server, request).partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        lines += [b"Transfer-Encoding: chunked", b"Connection: close"]
        return b"\r\n".join(lines) + b"\r\n\r\n%x\r\n%b\r\n" % (len(body), body)

    return cut


def then_say(behaviour: Behaviour, otherwise: Behaviour) -> Behaviour:
    """Have the request done, and answer something else."""

    def say(server: MisbehavingServer, request: Received) -> bytes:
        behaviour(server, request)
        return otherwise(server, request)

    return say
