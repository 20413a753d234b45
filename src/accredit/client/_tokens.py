"""Continuation tokens: opaque text that a caller may keep, and that another process may go on with."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any


def encode(values: Mapping[str, Any]) -> str:
    """The token that stands for ``values``: JSON in URL-safe base64."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(token: str, *names: str) -> dict[str, Any]:
    """The values that a token stands for. Raises ``ValueError`` unless all of ``names`` are among them."""
    try:
        values = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, dict) or not all(name in values for name in names):
        raise ValueError("this is not a continuation token of the kind that is asked for")
    return values
