"""Client secrets, hashed: what the database holds tells nobody the secret.

A hash is a PHC string, ``$scrypt$ln=14,r=8,p=1$<salt>$<digest>`` (base64 without padding), so that the cost can be
raised later and older hashes still be verified. Either function takes some 70 ms and 16 MiB: call them from a thread
in asynchronous code.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

# RFC 7914's costs for interactive use. Client secrets are made by machines: guessing one is hopeless as it is.
_LOG_N: Final = 14
_R: Final = 8
_P: Final = 1
_SALT_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_LARGEST_MEMORY: Final = 64 << 20
_BASE64 = r"[A-Za-z0-9+/]+"
_HASH = re.compile(rf"\$scrypt\$ln=(\d{{1,2}}),r=(\d{{1,2}}),p=(\d{{1,2}})\$({_BASE64})\$({_BASE64})")

NO_SECRET: Final = f"$scrypt$ln={_LOG_N},r={_R},p={_P}${'A' * 22}${'A' * 43}"
"""A hash that no secret has: verifying against it takes as long as against any, and fails."""


def hash_secret(secret: str) -> str:
    """Hash ``secret`` with a salt of its own."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(secret, salt, _LOG_N, _R, _P, _DIGEST_BYTES)
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_encode(salt)}${_encode(digest)}"


def verify_secret(secret: str, hashed: str) -> bool:
    """Whether ``hashed`` was made from ``secret``. Raises ``ValueError`` if ``hashed`` is no hash of ours."""
    match = _HASH.fullmatch(hashed)
    if match is None:
        raise ValueError("not a hash that accredit made")
    log_n, r, p = (int(number) for number in match.group(1, 2, 3))
    salt, digest = (_decode(text) for text in match.group(4, 5))
    return hmac.compare_digest(_scrypt(secret, salt, log_n, r, p, len(digest)), digest)


def _scrypt(secret: str, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=_LARGEST_MEMORY, dklen=length)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
