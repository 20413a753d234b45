"""Passwords for the first user of a new customer."""

import secrets
import string
from typing import Final

LENGTH: Final = 16
_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#$%*+-=?@_")


def new_password() -> str:
    """A random password with a character of each kind that Entra ID's policy counts."""
    characters = [secrets.choice(kind) for kind in _KINDS]
    characters += [secrets.choice("".join(_KINDS)) for _ in range(LENGTH - len(_KINDS))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)
