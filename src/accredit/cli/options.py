"""The options that commands share, and settings made from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from accredit.cli import exits

if TYPE_CHECKING:
    from accredit.settings import Settings

# An option that is not given leaves the setting to its environment variable, and that to the default.
Home = Annotated[Path | None, typer.Option(help="Folder of the embedded database and of the keys. (env ACCREDIT_HOME)")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="URL of a PostgreSQL to use instead of the embedded one. (env ACCREDIT_DATABASE_URL)"),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on. (env ACCREDIT_HOST)")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. (env ACCREDIT_PORT)")]
LogFormat = Annotated[
    Literal["json", "text"] | None,
    typer.Option(help="Shape of the log lines on stderr. (env ACCREDIT_LOG_FORMAT)"),
]
Issuers = Annotated[str | None, typer.Option(help="Trusted OIDC issuers, separated by commas. (env ACCREDIT_ISSUERS)")]
Audiences = Annotated[
    str | None, typer.Option(help="Accepted audiences, separated by commas. (env ACCREDIT_AUDIENCES)")
]
RequireMfa = Annotated[
    bool | None,
    typer.Option(
        "--require-mfa/--no-require-mfa",
        help="Whether App+User tokens must say mfa. (env ACCREDIT_REQUIRE_MFA)",
    ),
]


def settings_from_flags(**flags: object) -> Settings:
    """The settings of the environment, with the flags that were given (not ``None``) over them.

    Flags are named as the settings are. Leaves with ``exits.USAGE`` where a value is wrong, and names its
    flag or environment variable.
    """
    with server_extra():
        from pydantic import ValidationError

        from accredit.settings import Settings
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        # Without the value, which may be a secret.
        wrong = {str(one["loc"][0]): one["msg"] for one in error.errors()}
        exits.fail(exits.USAGE, "; ".join(f"{_source(name, given)}: {why}" for name, why in wrong.items()))


@contextmanager
def server_extra() -> Iterator[None]:
    """Around imports of the service: where it is not installed, says so and leaves with ``exits.FAILED``."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "accredit"):
            raise
        exits.fail(exits.FAILED, f'this command needs {missing}: install "accredit[server]"')


def _source(name: str, given: dict[str, object]) -> str:
    return f"--{name.replace('_', '-')}" if name in given else f"ACCREDIT_{name.upper()}"
