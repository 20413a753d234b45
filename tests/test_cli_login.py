"""Logging in and out: Entra ID by device code and browser, the local authority, the environment, profiles."""

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli import exits
from tests.cli import Cli
from tests.conftest import Partner, Service
from tests.entra import SCOPE, USER, Entra, entra

CLIENT_ID = str(uuid4())


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def authority(partner: Partner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    """Entra ID, giving out tokens that the service takes."""
    with entra(tmp_path, partner.token()) as (running, certificate):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        yield running


def log_in(cli: Cli, service: Service, authority: Entra, *more: str, code: int = 0) -> str:
    return cli(
        "login",
        "--endpoint",
        service.url,
        "--client-id",
        CLIENT_ID,
        "--tenant",
        authority.tenant,
        "--authority",
        authority.url,
        *more,
        code=code,
    ).err


def no_secret_in(folder: Path, *secrets: str) -> None:
    text = (folder / "config.json").read_text()
    assert not any(secret in text for secret in secrets)


def test_with_a_device_code(cli: Cli, service: Service, partner: Partner, authority: Entra) -> None:
    said = log_in(cli, service, authority, "--device-code", "--unencrypted")
    assert "enter the code ABCD1234" in said
    assert f"logged in at {service.url} as {USER}; profile default" in said
    assert cli("codes", "list", "-o", "json").json() == []
    shown = cli("whoami", "-o", "json").json()
    assert shown | {"expires": ""} == {
        "profile": "default",
        "endpoint": service.url,
        "tenant": str(partner.id),
        "user": partner.user.upn,
        "application": str(partner.application_id),
        "kind": "App+User",
        "roles": ["AdminAgent"],
        "mfa": True,
        "audience": "https://api.partnercenter.microsoft.com",
        "expires": "",
    }
    assert [grant["grant_type"] for grant in authority.grants] == ["urn:ietf:params:oauth:grant-type:device_code"]
    assert SCOPE in authority.scopes
    # The tokens are in the cache, which is its owner's alone, and nowhere else.
    cache = cli.folder / "tokens.bin"
    assert stat.S_IMODE(cache.stat().st_mode) == stat.S_IMODE((cli.folder / "config.json").stat().st_mode) == 0o600
    assert authority.access_token in cache.read_text()
    no_secret_in(cli.folder, authority.access_token, "a-refresh-token")
    cli("logout")
    assert authority.access_token not in cache.read_text()
    assert "a-refresh-token" not in cache.read_text()
    assert "accredit login" in cli("codes", "list", code=exits.NOT_SIGNED_IN).err


def test_with_a_browser(
    cli: Cli, service: Service, authority: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text(
        "import json, os, ssl, sys, urllib.request, urllib.parse\n"
        "context = ssl.create_default_context(cafile=os.environ['REQUESTS_CA_BUNDLE'])\n"
        "form = json.load(urllib.request.urlopen(sys.argv[1], context=context))\n"
        "urllib.request.urlopen(form['action'], urllib.parse.urlencode(form['fields']).encode())\n"
    )
    monkeypatch.setenv("BROWSER", f"{sys.executable} {browser} %s &")  # in the background, as browsers are
    log_in(cli, service, authority, "--unencrypted")
    assert [grant["grant_type"] for grant in authority.grants] == ["authorization_code"]
    assert cli("codes", "list", "-o", "json").json() == []


def test_a_token_is_refreshed_silently(cli: Cli, service: Service, authority: Entra) -> None:
    authority.expires_in = 1
    log_in(cli, service, authority, "--device-code", "--unencrypted")
    cli("codes", "list")
    assert authority.grants[-1]["grant_type"] == "refresh_token"
    authority.refusal = "AADSTS700082: The refresh token has expired."
    done = cli("codes", "list", code=exits.NOT_SIGNED_IN)
    assert "AADSTS700082" in done.err
    assert "accredit login" in done.err


def test_without_a_keyring_tokens_are_kept_only_if_allowed(cli: Cli, service: Service, authority: Entra) -> None:
    said = log_in(cli, service, authority, "--device-code", code=exits.NOT_SIGNED_IN)
    assert "--unencrypted" in said
    assert authority.grants == []
    assert not (cli.folder / "config.json").exists()
    assert not (cli.folder / "tokens.bin").exists()


def test_a_refused_login_changes_nothing(cli: Cli, service: Service, authority: Entra) -> None:
    authority.refusal = "AADSTS50105: The user is not assigned to the application."
    said = log_in(cli, service, authority, "--device-code", "--unencrypted", code=exits.NOT_SIGNED_IN)
    assert "AADSTS50105" in said
    assert cli("profiles", "list", "-o", "json").json() == []


def test_at_the_local_authority(cli: Cli, service: Service, partner: Partner) -> None:
    partner.seed(
        users=[{"id": str(partner.user.id), "upn": partner.user.upn, "roles": ["AdminAgent"]}],
        applications=[{"id": str(partner.application_id), "secret": "irrelevant"}],
    )
    said = cli("login", "--local", "--home", service.home, "--partner", partner.id).err
    assert f"logged in at {service.url} as {partner.user.upn}; profile local" in said
    customer = partner.customer("{}.k12.or.us")
    cli("update", customer, "Education", "--wait")
    assert cli("whoami", "-o", "json").json()["roles"] == ["AdminAgent"]
    no_secret_in(cli.folder, "eyJ", "PRIVATE")
    cli("logout")
    assert "not logged in" in cli("codes", "list", code=exits.NOT_SIGNED_IN).err


def test_nobody_of_that_name_at_the_local_authority(cli: Cli, service: Service) -> None:
    cli("login", "--local", "--home", service.home, "--partner", uuid4(), code=exits.NOT_FOUND)
    assert not (cli.folder / "config.json").exists()


def test_without_anything_it_says_what_to_do(cli: Cli) -> None:
    said = cli("customers", "list", code=exits.NOT_SIGNED_IN).err
    for way in ("accredit login", "accredit login --local", "ACCREDIT_TOKEN", "ACCREDIT_ENDPOINT"):
        assert way in said


def test_the_environment_wins_over_the_profile(cli: Cli, service: Service, partner: Partner) -> None:
    cli("profiles", "add", "elsewhere", "http://127.0.0.1:9")
    cli.settings |= {"endpoint": service.url, "token": partner.token(app_only=True)}
    shown = cli("whoami", "-o", "json").json()
    assert (shown["profile"], shown["endpoint"], shown["kind"]) == ("elsewhere", service.url, "app-only")
    assert partner.token() not in cli("whoami").out


def test_profiles(cli: Cli) -> None:
    cli("profiles", "add", "one", "global")
    cli("profiles", "add", "two", "CHINA")
    cli("profiles", "add", "three", "http://127.0.0.1:8080/")
    cli("profiles", "use", "three")
    listed = cli("profiles", "list", "-o", "json").json()
    assert [(one["name"], one["current"], one["endpoint"]) for one in listed] == [
        ("one", False, "https://api.partnercenter.microsoft.com"),
        ("two", False, "https://partner.partnercenterapi.microsoftonline.cn"),
        ("three", True, "http://127.0.0.1:8080"),
    ]
    cli("profiles", "remove", "three")
    assert len(cli("profiles", "list", "-o", "jsonl").out.splitlines()) == 2
    for wrong in (
        ["add", "one", "global"],
        ["add", "x", "ftp://a"],
        ["add", "x", "https://me:secret@a.example"],
        ["use", "three"],
        ["remove", "three"],
    ):
        cli("profiles", *wrong, code=exits.USAGE)
    assert "no profile three" in cli("customers", "list", "--profile", "three", code=exits.USAGE).err


def test_plain_http_is_for_loopback_only(cli: Cli) -> None:
    cli.settings |= {"endpoint": "http://partner.example", "token": "a-token"}
    assert "https" in cli("customers", "list", code=exits.USAGE).err


@pytest.mark.parametrize("content", ["", "[]", "{", '{"profiles": {"a": {}}}', '{"profiles": {"a": {"endpoint": 1}}}'])
def test_a_broken_configuration_is_named_and_left_alone(cli: Cli, content: str) -> None:
    path = cli.folder / "config.json"
    path.write_text(content)
    for arguments in (["profiles", "list"], ["profiles", "add", "a", "global"], ["customers", "list"]):
        assert str(path) in cli(*arguments, code=exits.USAGE).err
    assert path.read_text() == content


def test_the_configuration_is_where_the_platform_has_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(cli.folder / "xdg"))
    monkeypatch.setenv("HOME", str(cli.folder))
    environment = cli.environment()
    del environment["ACCREDIT_CONFIG"]
    monkeypatch.setattr(cli, "environment", lambda: environment)
    cli("profiles", "add", "one", "global")
    (written,) = [path for path in cli.folder.rglob("config.json") if "accredit" in path.parts]
    assert json.loads(written.read_text())["current"] == "one"
    assert written.stat().st_mode & 0o077 == 0
