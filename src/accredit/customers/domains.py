"""Domain names, and the DNS record that proves control of one: pure functions."""

import base64
import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

import idna

_TOP_LEVEL = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_RECORD_LABEL = "_accredit"
_DIGEST_BYTES = 20


@dataclass(frozen=True, slots=True)
class Challenge:
    """The TXT record that proves control of a domain to us: its name and its value."""

    name: str
    value: str


def domain_name(text: str) -> str:
    """A domain as lower-case A-labels (IDNA 2008, with UTS 46's mapping of what people type).

    Raises ``ValueError`` for what is no domain name: an address, a single label, characters that no name has.
    """
    try:
        name = idna.encode(text, uts46=True).decode().rstrip(".")
    except UnicodeError as error:
        raise ValueError(f"{text} is not a domain name: {error}") from None
    if "." not in name:
        raise ValueError(f"{text} has no dot")
    if not _TOP_LEVEL.fullmatch(name.rpartition(".")[2]):
        raise ValueError(f"{text} does not end in a top-level domain")
    return name


def challenge(customer_id: UUID, domain: str) -> Challenge:
    """The record for a customer and a domain (A-labels): always the same, and of no use to another customer.

    It needs no secret: what proves control is that it stands in the domain's zone.
    """
    digest = hashlib.sha256(customer_id.bytes + domain.encode()).digest()[:_DIGEST_BYTES]
    return Challenge(f"{_RECORD_LABEL}.{domain}", f"accredit-verification={base64.b32encode(digest).decode().lower()}")
