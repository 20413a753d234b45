"""Asking the DNS for TXT records."""

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
import structlog
from dns.rdtypes.ANY.TXT import TXT

log = structlog.get_logger("accredit.customers")


class TxtLookup:
    """Looks TXT records up, at ``servers`` or, without any, at the system's. ``timeout``: seconds for a look-up.

    A server is an address, ``127.0.0.1``, or address and port, ``127.0.0.1:5353`` or ``[::1]:5353``. Raises
    ``ValueError`` for anything else.
    """

    def __init__(self, servers: Sequence[str], *, timeout: float) -> None:
        self._servers = [dns.nameserver.Do53Nameserver(*_address(server)) for server in servers]
        self._timeout = timeout

    async def values(self, name: str) -> set[str]:
        """The values of the TXT records at ``name``; none where there are none, or where the DNS does not answer."""
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                resolver.nameservers = list(self._servers)
            resolver.cache = None  # who has just published the record must not wait for an old answer to expire
            answer = await resolver.resolve(name, "TXT", lifetime=self._timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return set()
        except (dns.exception.DNSException, OSError) as error:
            log.warning("DNS does not answer", name=name, error=type(error).__name__, detail=str(error))
            return set()
        return {b"".join(record.strings).decode(errors="replace") for record in answer if isinstance(record, TXT)}


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = server, "53"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{server} is not the address of a DNS server")
    host = host.strip("[]")
    dns.nameserver.Do53Nameserver(host, int(port))
    return host, int(port)
