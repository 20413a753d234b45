"""The client's configuration file: named profiles, each an endpoint and who is logged in there. It holds no secret."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from accredit.client import CHINA_ENDPOINT, GLOBAL_ENDPOINT

ENDPOINT_NAMES = {"global": GLOBAL_ENDPOINT, "china": CHINA_ENDPOINT}
"""Names for Partner Center's own endpoints; ``china`` is the one that 21Vianet operates."""


class ConfigError(Exception):
    """The configuration file, or what is asked of it, is wrong; the message says how."""


@dataclass(frozen=True, slots=True)
class EntraLogin:
    """A user logged in with Microsoft Entra ID, by the application ``client_id``. The tokens are in the token cache.

    ``authority`` is the tenant's URL, ``account`` what MSAL calls the home account ID; ``unencrypted``: the user
    allowed the cache to be a plain file.
    """

    client_id: str
    authority: str
    account: str
    user: str
    unencrypted: bool = False
    kind: Literal["entra"] = "entra"


@dataclass(frozen=True, slots=True)
class LocalLogin:
    """A user of our local authority, whose tokens are made with the key in the folder ``home``."""

    home: str
    partner_id: str
    application_id: str
    user_id: str
    user: str
    roles: tuple[str, ...]
    audience: str
    kind: Literal["local"] = "local"


Login = EntraLogin | LocalLogin
_LOGINS: Mapping[str, type[Login]] = {"entra": EntraLogin, "local": LocalLogin}


@dataclass(frozen=True, slots=True)
class Profile:
    """An endpoint, and who is logged in there."""

    endpoint: str
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration file's content. ``current`` names the profile used where none is asked for."""

    current: str | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    def profile(self, name: str) -> Profile:
        """The profile of that name. Raises :class:`ConfigError`."""
        if name not in self.profiles:
            known = ", ".join(self.profiles) or "none"
            raise ConfigError(f"there is no profile {name} (there are: {known})")
        return self.profiles[name]

    def with_profile(self, name: str, profile: Profile) -> "Config":
        """With that profile put in; the first one becomes the current one."""
        return replace(self, current=self.current or name, profiles={**self.profiles, name: profile})

    def without_profile(self, name: str) -> "Config":
        """With that profile taken out. Raises :class:`ConfigError`."""
        self.profile(name)
        left = {other: profile for other, profile in self.profiles.items() if other != name}
        return Config(None if self.current == name else self.current, left)


def endpoint(text: str) -> str:
    """An endpoint by its name (``global``, ``china``) or URL, without a trailing slash. Raises :class:`ConfigError`."""
    if text.lower() in ENDPOINT_NAMES:
        return ENDPOINT_NAMES[text.lower()]
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc:
        raise ConfigError(f"{text} is no endpoint: give global, china, or a URL such as http://127.0.0.1:8080")
    return text.rstrip("/")


def path() -> Path:
    """Where the configuration is: ``ACCREDIT_CONFIG``, else ``config.json`` in the user's configuration folder."""
    named = os.environ.get("ACCREDIT_CONFIG")
    if named:
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("accredit") / "config.json"


def load() -> Config:
    """Read the configuration; an absent file is an empty one. Raises :class:`ConfigError`."""
    try:
        raw = json.loads(path().read_bytes())
        profiles = {str(name): _profile(one) for name, one in raw["profiles"].items()}
        current = raw.get("current")
        return Config(current if current in profiles else None, profiles)
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"cannot read {path()}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(f"{path()} is no configuration of accredit: mend or remove it") from None


def save(config: Config) -> None:
    """Write the configuration, whole or not at all, readable by its owner only. Raises :class:`ConfigError`."""
    target = path()
    content = {
        "current": config.current,
        "profiles": {name: asdict(profile) for name, profile in config.profiles.items()},
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp gives mode 0600.
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(descriptor)
        Path(draft).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        Path(draft).replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from None


def _profile(raw: Mapping[str, Any]) -> Profile:
    login = raw.get("login")
    if login is None:
        return Profile(endpoint(raw["endpoint"]))
    parts = dict(login)
    if "roles" in parts:
        parts["roles"] = tuple(parts["roles"])
    return Profile(endpoint(raw["endpoint"]), _LOGINS[login["kind"]](**parts))
