"""A DNS server on loopback, over UDP and TCP, whose TXT records a test sets as it goes."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import TXT
from dns.rdtypes.ANY.TXT import TXT as TxtRecord

_SECOND_PORTS = 20


class DnsServer:
    """What the server knows, by names in any case; a name that it does not know is NXDOMAIN.

    ``asked``: the names it was asked for, in lower case.
    """

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self._records: dict[dns.name.Name, list[list[str]]] = {}
        self._failing: set[dns.name.Name] = set()
        self._silent: set[dns.name.Name] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def publish(self, name: str, *records: str | list[str]) -> None:
        """Give ``name`` these TXT records and no others; one of several strings is a list. Without any: no answer."""
        self._records[dns.name.from_text(name)] = [[one] if isinstance(one, str) else one for one in records]

    def fail(self, name: str) -> None:
        """Answer SERVFAIL for ``name``."""
        self._failing.add(dns.name.from_text(name))

    def ignore(self, name: str) -> None:
        """Answer nothing at all for ``name``."""
        self._silent.add(dns.name.from_text(name))

    def answer(self, wire: bytes, *, most: int | None) -> bytes | None:
        """The answer to a question, of at most ``most`` bytes: one that is longer is cut, and says so."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        self.asked.append(question.name.to_text(omit_final_dot=True).lower())
        if question.name in self._silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if question.name in self._failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif question.name not in self._records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == TXT and self._records[question.name]:
            records = [TxtRecord(IN, TXT, strings) for strings in self._records[question.name]]
            response.answer.append(dns.rrset.from_rdata(question.name, 300, *records))
        whole = response.to_wire()
        if most is None or len(whole) <= most:
            return whole
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()


@contextlib.contextmanager
def running_dns_server() -> Iterator[DnsServer]:
    """A server on a free port of 127.0.0.1, the same for UDP and TCP."""
    server = DnsServer()

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, socket = self.request
            answer = server.answer(wire, most=512)
            if answer is not None:
                socket.sendto(answer, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = int.from_bytes(self.rfile.read(2))
            answer = server.answer(self.rfile.read(length), most=None)
            if answer is not None:
                self.wfile.write(len(answer).to_bytes(2) + answer)

    with contextlib.ExitStack() as stack:
        udp, tcp = _on_one_port(Datagram, Stream)
        server.port = udp.server_address[1]
        for one in (udp, tcp):
            stack.enter_context(one)
            threading.Thread(target=one.serve_forever, daemon=True).start()
            stack.callback(one.shutdown)
        yield server


def _on_one_port(
    datagram: type[socketserver.BaseRequestHandler], stream: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.ThreadingUDPServer, socketserver.ThreadingTCPServer]:
    for _ in range(_SECOND_PORTS):
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), datagram)
        try:
            return udp, socketserver.ThreadingTCPServer(udp.server_address, stream)
        except OSError:  # somebody else has the port for TCP
            udp.server_close()
    raise OSError("no port is free for both UDP and TCP")
