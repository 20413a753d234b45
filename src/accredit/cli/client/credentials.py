"""The tokens of a login: Entra ID's through MSAL and its protected cache, our local authority's made at home.

All credentials are ``TokenCredential`` as azure-core has them. They raise :class:`NotLoggedInError`, which says what
to do.
"""

import base64
import json
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from accredit.cli.client import config
from accredit.cli.client.config import EntraLogin, LocalLogin
from accredit.cli.options import server_extra
from accredit.client import CHINA_ENDPOINT

if TYPE_CHECKING:
    import msal

_GLOBAL_AUTHORITY = "https://login.microsoftonline.com"
_CHINA_AUTHORITY = "https://login.partner.microsoftonline.cn"


class NotLoggedInError(ClientAuthenticationError):
    """There is no usable login; the message says what to do."""

    def __str__(self) -> str:
        return str(self.message)


class EntraCredential:
    """Tokens of a user who is logged in with Entra ID; refreshed silently, by the cache."""

    def __init__(self, login: EntraLogin) -> None:
        self._login = login
        self._application = application(login.client_id, login.authority, unencrypted=login.unencrypted)

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A token from the cache, or a refreshed one."""
        found = self._application.get_accounts()
        account = next((one for one in found if one["home_account_id"] == self._login.account), None)
        answer = account and self._application.acquire_token_silent_with_error(list(scopes), account)
        return _access_token(answer or {"error_description": f"{self._login.user} has no token in the cache"})


class LocalCredential:
    """Tokens of our local authority, made with the key in its home folder as they are needed."""

    def __init__(self, login: LocalLogin, endpoint: str) -> None:
        self._login = login
        self._endpoint = endpoint

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """A new token for the login's user."""
        with server_extra():
            from uuid import UUID

            from accredit.identity.authority import AuthorityKeyError, LocalAuthority
            from accredit.identity.models import DirectoryUser
        login = self._login
        if not Path(login.home, "authority").is_dir():  # where there is none, the authority would make a new key
            raise NotLoggedInError(f"there is no local authority in {login.home} (any more): `accredit login --local`")
        try:
            authority = LocalAuthority(Path(login.home))
        except (AuthorityKeyError, OSError) as error:
            raise NotLoggedInError(str(error)) from None
        made = authority.issue_app_user(
            DirectoryUser(UUID(login.user_id), login.user, login.roles),
            partner_id=UUID(login.partner_id),
            application_id=UUID(login.application_id),
            audience=login.audience,
            base_url=self._endpoint,
        )
        return AccessToken(made.text, made.expires_on)


def default_authority(endpoint: str) -> str:
    """Where the users of an endpoint log in."""
    return _CHINA_AUTHORITY if endpoint == CHINA_ENDPOINT else _GLOBAL_AUTHORITY


def application(client_id: str, authority: str, *, unencrypted: bool) -> "msal.PublicClientApplication":
    """The application at its authority, with the user's token cache. Raises :class:`NotLoggedInError`."""
    import msal
    from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS
    from msal_extensions import FilePersistence, PersistedTokenCache, build_encrypted_persistence

    location = str(cache_path())
    try:
        persistence = build_encrypted_persistence(location)
    except Exception as error:  # whatever the platform's keyring raises where there is none
        if not unencrypted:
            raise NotLoggedInError(
                "this machine has no keyring that could protect the tokens. With --unencrypted they are kept in "
                f"{location}, readable by you alone; or give a token of your own in ACCREDIT_TOKEN"
            ) from error
        persistence = FilePersistence(location)
    known = any(authority.startswith(f"https://{host}/") for host in WELL_KNOWN_AUTHORITY_HOSTS)
    try:
        return msal.PublicClientApplication(
            client_id,
            authority=authority,
            token_cache=PersistedTokenCache(persistence),
            # Asks Microsoft whether a host is an authority: not about one that the user named.
            instance_discovery=None if known else False,
        )
    except (ValueError, OSError) as error:
        raise NotLoggedInError(f"{authority} does not answer as an authority: {error}") from None


def log_in(
    app: "msal.PublicClientApplication", scope: str, *, device_code: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Let the user log in, in the browser or with a code on another device; returns MSAL's account.

    Raises :class:`NotLoggedInError`.
    """
    if device_code:
        flow = app.initiate_device_flow([scope])
        if "user_code" not in flow:
            _access_token(flow)
        say(flow["message"])
        answer = app.acquire_token_by_device_flow(flow)
    else:
        say("Log in in the browser that opens. (None here? Use --device-code.)")
        try:
            answer = app.acquire_token_interactive([scope], prompt="select_account")
        except (webbrowser.Error, OSError) as error:
            raise NotLoggedInError(f"no browser can be used here ({error}): use --device-code") from None
    _access_token(answer)
    claims = answer.get("id_token_claims", {})
    accounts = app.get_accounts()
    for account in accounts:
        if claims.get("oid") in (account.get("local_account_id"), None):
            return dict(account)
    raise NotLoggedInError("the authority did not say who logged in")


def log_out(login: EntraLogin) -> None:
    """Take a user's tokens out of the cache. Raises :class:`NotLoggedInError` where the cache cannot be opened."""
    app = application(login.client_id, login.authority, unencrypted=login.unencrypted)
    for account in app.get_accounts():
        if account["home_account_id"] == login.account:
            app.remove_account(account)


def cache_path() -> Path:
    """The token cache's file, beside the configuration; with a keyring, it only tells when that was changed."""
    return config.path().with_name("tokens.bin")


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified: to be shown, not trusted. ``{}`` for a token that is none."""
    with suppress(ValueError, IndexError):
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return found if isinstance(found, dict) else {}
    return {}


def _access_token(answer: dict[str, Any]) -> AccessToken:
    """The token of MSAL's answer. Raises :class:`NotLoggedInError`."""
    if "access_token" in answer:
        import time

        return AccessToken(answer["access_token"], int(time.time()) + int(answer["expires_in"]))
    why = str(answer.get("error_description") or answer.get("error") or "no answer").strip().splitlines()[0]
    raise NotLoggedInError(f"{why}. Log in again: `accredit login`")
