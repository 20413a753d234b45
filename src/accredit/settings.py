"""Every setting of the service, once. Each is read from an environment variable ``ACCREDIT_<NAME>``.

The table in ``docs/settings.md`` is made from this class; a test keeps the two equal.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    """Take ``"a, b c"`` as ``["a", "b", "c"]``, as people write lists in an environment variable."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


StringList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of one process. Raises ``pydantic.ValidationError``, which names the setting that is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="ACCREDIT_", extra="ignore", validate_default=True, env_ignore_empty=True
    )

    home: Path = Field(
        Path(".accredit"),
        description="Folder of the embedded database and of the local authority's keys; made if absent.",
    )
    database_url: str | None = Field(
        None,
        description="URL of a PostgreSQL 15 or later (`postgresql://…`). Absent: the embedded one in `ACCREDIT_HOME`.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_format: Literal["json", "text"] = Field("text", description="Shape of the log lines on stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    issuers: StringList = Field(
        default_factory=list,
        description="Trusted OIDC issuers, separated by commas. `{tenantid}` stands for the token's tenant: "
        "`https://login.microsoftonline.com/{tenantid}/v2.0,https://sts.windows.net/{tenantid}/` trusts Entra ID.",
    )
    audiences: StringList = Field(
        default_factory=lambda: ["https://api.partnercenter.microsoft.com"],
        description="Audiences accepted in access tokens, separated by commas.",
    )
    require_mfa: bool = Field(True, description="Whether App+User tokens must say `mfa` in `amr`.")
    local_authority: bool | None = Field(
        None,
        description="Whether the local token authority is on. Absent: on while `ACCREDIT_HOST` is a loopback address.",
    )

    write_batch: int = Field(
        128, ge=1, le=1000, description="Most submissions that group commit puts in one transaction."
    )
    database_connections: int = Field(
        8, ge=2, le=100, description="Most database connections that one API process holds."
    )
    database_timeout: float = Field(
        5.0, gt=0, description="Seconds that a request waits for the database before it is answered 503."
    )
    shutdown_timeout: int = Field(
        30, ge=1, description="Seconds that in-flight requests and jobs get to finish at SIGTERM."
    )

    rate_limit_customer: int = Field(
        500, ge=0, description="Requests a minute that a partner may make for each customer; 0 means no limit."
    )
    rate_limit_partner: int = Field(
        5000, ge=0, description="Requests a minute that a partner may make in all; 0 means no limit."
    )

    dns_servers: StringList = Field(
        default_factory=list,
        description="DNS servers that are asked for the records which prove control of domains, separated by commas: "
        "`127.0.0.1:5353`. Absent: the system's.",
    )
    dns_timeout: float = Field(5.0, gt=0, le=60, description="Seconds that a look-up in the DNS may take.")

    name_match_threshold: float = Field(
        90.0,
        ge=0,
        le=100,
        description="How alike (0 to 100) a company's name and a validation code's organization must be "
        "for a government qualification to be approved without a person.",
    )
    review_deadline: float = Field(
        48.0,
        gt=0,
        le=8760,
        description="Hours that people have for a case that is referred to them, until it is escalated.",
    )
    review_claim: float = Field(
        60.0, gt=0, le=10080, description="Minutes for which a reviewer's claim keeps a case from other reviewers."
    )
    reviewer_tenants: Annotated[list[UUID] | None, NoDecode, BeforeValidator(_split)] = Field(
        None,
        description="Tenants whose users may be reviewers by the role `Reviewer`, separated by commas. Absent: every "
        "partner's where the local authority made the token, nobody's otherwise.",
    )
    revetting_days: int = Field(
        180,
        ge=0,
        le=3650,
        description="Days after which an Approved qualification is vetted again; 0: never for its age.",
    )
    revetting_batch: int = Field(
        1000, ge=1, le=100_000, description="Most qualifications that are queued for another look in a minute."
    )
    institution_match_threshold: float = Field(
        85.0,
        ge=0,
        le=100,
        description="How alike (0 to 100) a company's name and that of the institution whose domain it controls must "
        "be for an education qualification to be approved without a person.",
    )
    evidence_timeout: float = Field(
        5.0, gt=0, description="Seconds after which a built-in source of evidence counts as unavailable."
    )
    registry_timeout: float = Field(
        60.0, gt=0, description="Seconds without a byte after which the fetch of a registry's URL is given up."
    )
    registry_size: int = Field(1_000_000_000, ge=1, description="Most bytes that a registry's URL may hold.")
    registry_refresh_hours: int = Field(
        0,
        ge=0,
        description="Hours after which a worker fetches a registry that was imported from a URL again; 0: never.",
    )
    registry_cache: int = Field(
        100_000, ge=0, description="Domains whose look-up in the registries a worker keeps until a registry changes."
    )
    worker_jobs: int = Field(32, ge=1, le=1000, description="Jobs that a worker takes from the queue at a time.")
    job_timeout: float = Field(
        20.0,
        ge=1,
        description="Seconds without a sign of life after which a job counts as lost with its worker, "
        "and another takes it.",
    )
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of a worker's own `/metrics`. Absent: none."
    )

    @property
    def local_authority_enabled(self) -> bool:
        """Contract section 2: on by default only while the service listens on a loopback address."""
        return is_loopback(self.host) if self.local_authority is None else self.local_authority


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address) is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
