"""Which endpoint a command talks to, as whom; and what is said where that fails."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from accredit.cli import exits
from accredit.cli.client import config
from accredit.cli.client.config import ConfigError, LocalLogin, Profile
from accredit.cli.client.credentials import EntraCredential, LocalCredential
from accredit.client import (
    GLOBAL_ENDPOINT,
    NoRelationshipError,
    NotFoundError,
    PartnerCenterClient,
    PartnerCenterError,
    RateLimitedError,
    ServerError,
    StaticTokenCredential,
)

APPLICATION = "accredit-cli"
"""What the endpoint is told that we are."""

_RETRIES = 4  # about eight seconds: somebody is looking at the screen
_NO_LOGIN = (
    "not logged in. Use `accredit login` for Partner Center, `accredit login --local` for a service on this machine, "
    "or give a token in ACCREDIT_TOKEN and, where it is not Partner Center's global one, an endpoint in "
    "ACCREDIT_ENDPOINT"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """An endpoint and whom to call it as. ``profile`` is ``None`` where no profile was needed."""

    endpoint: str
    credential: TokenCredential
    profile: str | None = None


def connect(profile: str | None) -> Connection:
    """The connection of ``--profile``, or of the current profile.

    ``ACCREDIT_ENDPOINT`` and ``ACCREDIT_TOKEN`` win over what the profile says. Leaves with ``exits.USAGE`` or
    ``exits.NOT_SIGNED_IN`` where there is none.
    """
    token, endpoint = os.environ.get("ACCREDIT_TOKEN"), os.environ.get("ACCREDIT_ENDPOINT")
    try:
        name, chosen = chosen_profile(profile)
        url = config.endpoint(endpoint) if endpoint else chosen.endpoint if chosen else GLOBAL_ENDPOINT
    except ConfigError as error:
        exits.fail(exits.USAGE, str(error))
    if token:
        return Connection(url, StaticTokenCredential(token.strip()), name)
    if chosen is None or chosen.login is None:
        exits.fail(exits.NOT_SIGNED_IN, f"profile {name} is {_NO_LOGIN}" if name else _NO_LOGIN)
    if isinstance(chosen.login, LocalLogin):
        return Connection(url, LocalCredential(chosen.login, url), name)
    with explained():
        return Connection(url, EntraCredential(chosen.login), name)


def chosen_profile(asked: str | None) -> tuple[str | None, Profile | None]:
    """The profile asked for, or the current one, with its name. Raises :class:`ConfigError`."""
    settings = config.load()
    name = asked or settings.current
    if name is None:
        return None, None
    return name, settings.profile(name)


@contextmanager
def client(profile: str | None, *, debug: bool = False) -> Iterator[PartnerCenterClient]:
    """A client for a command; leaves as :func:`explained` says where a call fails."""
    with connected(connect(profile), debug=debug) as opened:
        yield opened


@contextmanager
def connected(connection: Connection, *, debug: bool = False) -> Iterator[PartnerCenterClient]:
    """A client over a connection; leaves as :func:`explained` says where a call fails."""
    if debug:
        show_exchange()
    with (
        explained(),
        PartnerCenterClient(
            connection.credential,
            endpoint=connection.endpoint,
            application=APPLICATION,
            logging_enable=debug,
            retry_total=_RETRIES,
        ) as opened,
    ):
        yield opened


@contextmanager
def explained() -> Iterator[None]:
    """Leave with the code and the message for what a call raises."""
    try:
        yield
    except AzureError as error:
        exits.fail(code_of(error), message_of(error))
    except ValueError as error:  # what the SDK says of an argument
        exits.fail(exits.USAGE, str(error))


def code_of(error: AzureError) -> int:
    """The exit code for a failed call."""
    match error:
        case ClientAuthenticationError():
            return exits.NOT_SIGNED_IN
        case NoRelationshipError() | NotFoundError():
            return exits.NOT_FOUND
        case PartnerCenterError() if not isinstance(error, RateLimitedError | ServerError):
            return exits.REFUSED
        case _:
            return exits.UNREACHABLE


def message_of(error: AzureError) -> str:
    """What to say of a failed call, with the IDs that support asks for."""
    message = " ".join(str(error).split())
    if isinstance(error, PartnerCenterError) and error.request_id:
        message += f" (MS-RequestId {error.request_id}, MS-CorrelationId {error.correlation_id})"
    return message


def show_exchange() -> None:
    """Show on stderr what azure-core and the SDK log of each exchange. They log no token."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("azure.core.pipeline.policies.http_logging_policy", "accredit.client"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        logger.propagate = False
