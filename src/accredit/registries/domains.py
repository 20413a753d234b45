"""Domain names: how they are written, and which part of one somebody registered."""

import re
from functools import lru_cache

import idna
from publicsuffixlist import PublicSuffixList

_SUFFIXES = PublicSuffixList(only_icann=True)
_HOSTING = PublicSuffixList()
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_TOP_LEVEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])")


@lru_cache(maxsize=16384)
def domain_name(text: str) -> str | None:
    """A domain name as lower-case A-labels without the last dot; ``None`` for what is none.

    That is an address, a single label, or characters that only look like ASCII (``ｍｉｔ.edu``): nobody who controls a
    domain writes it so.
    """
    text = text.strip().removesuffix(".")
    name = text.lower()
    # Hosts may have underscores, and older names hyphens where IDNA has none: only what is not ASCII is its business.
    if not text.isascii() or "xn--" in name:
        try:
            name = idna.encode(text, uts46=True).decode()
        except UnicodeError:
            return None
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        return None
    if not _TOP_LEVEL.fullmatch(labels[-1]) or (not text.isascii() and "xn--" not in name):
        return None
    return name


@lru_cache(maxsize=16384)
def registrable(domain: str) -> str | None:
    """The domain that somebody registered, of which ``domain`` is or is below; ``None`` for a public suffix itself."""
    return _SUFFIXES.privatesuffix(domain)


@lru_cache(maxsize=16384)
def owned(domain: str) -> str | None:
    """As :func:`registrable`, but below a host's own suffix (``github.io``) the part that belongs to its customer.

    ``None`` for such a suffix itself.
    """
    return _HOSTING.privatesuffix(domain)


def is_hosted(domain: str) -> bool:
    """Whether ``domain`` is, or is below, a suffix under which a company gives out names to anyone."""
    return owned(domain) != registrable(domain)


def at_and_above(domain: str) -> list[str]:
    """``domain`` and what is above it, down to the part that has an owner; the deepest first. Empty: it has none."""
    top = owned(domain)
    if top is None:
        return []
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels) - top.count("."))]
