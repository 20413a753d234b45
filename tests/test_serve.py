"""Running the service as its operators do: real processes, signals and exit codes."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import psycopg
import pytest

from accredit.cli import exits
from accredit.cli.options import settings_from_flags
from accredit.database import migrate
from accredit.database.embedded import EmbeddedPostgres

PATIENCE = 90
ACCREDIT = [sys.executable, "-m", "accredit"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ACCREDIT_")} | {
    "ACCREDIT_LOG_FORMAT": "json",
    "ACCREDIT_LOG_LEVEL": "debug",
}
UNREACHABLE = "postgresql://somebody:hush-hush@127.0.0.1:1/nowhere"


class Accredit:
    """A running ``accredit`` command. Killed, with all of its processes, at the end of the block."""

    def __init__(self, *arguments: str | Path) -> None:
        self._process = subprocess.Popen(
            [*ACCREDIT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        family = self.family() if self._process.poll() is None else []
        self._process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()

    def url(self) -> str:
        """Wait until it says where it listens."""
        line = self._process.stdout.readline()
        assert line.startswith("accredit is listening on http://"), self._process.stderr.read()
        return line.split()[-1]

    def event(self, text: str, **fields: Any) -> dict[str, Any]:
        """Wait for this event in its log."""
        for line in self._process.stderr:
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == text and fields.items() <= event.items():
                    return event
        raise AssertionError(f"it ended without {text} {fields}")

    def lines_until(self, end: str) -> list[str]:
        """The lines of its stderr up to the one that ends so."""
        lines = []
        for line in self._process.stderr:
            lines.append(line.rstrip())
            if lines[-1].endswith(end):
                return lines
        raise AssertionError(f"it ended without {end}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> tuple[int, str, str]:
        """Wait for its end; return its code and what is left of its stdout and stderr."""
        out, err = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, out, err

    def family(self) -> list[psutil.Process]:
        """Its processes, without itself."""
        return psutil.Process(self.pid).children(recursive=True)

    def parts(self, word: str) -> list[psutil.Process]:
        """Its children with ``word`` among their arguments."""
        children = psutil.Process(self.pid).children()
        return [child for child in children if word in child.cmdline()]

    def part(self, word: str) -> psutil.Process:
        """The only one of :meth:`parts`."""
        (child,) = self.parts(word)
        return child


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ACCREDIT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT | environment,
        timeout=PATIENCE,
    )


def get(url: str, path: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def home() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder / "home"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL that is not the service's own."""
    with own_folder() as folder:
        postgres = EmbeddedPostgres(folder)
        postgres.start()
        yield postgres.url
        postgres.stop()


@contextmanager
def own_folder() -> Iterator[Path]:
    """Not pytest's: under root, another session's start would close that to the user PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="accredit-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def database(server: str) -> str:
    """The URL of an empty database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/accredit?", f"/{name}?")


@pytest.fixture
def migrated(database: str) -> str:
    migrate.migrate(database)
    return database


def execute(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchone() if "SELECT" in statement else connection.execute(statement)


# What is refused, with its code


def test_a_taken_port(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for command in ("serve", "api"):
            done = run(command, "--home", home, "--port", str(port))
            assert done.returncode == exits.PORT_TAKEN
            assert done.stderr == f"accredit: port {port} of 127.0.0.1 is taken: give another with --port\n"
    assert not home.exists()


@pytest.mark.parametrize(
    ("host", "complaint"),
    [("no-such-host.invalid", "cannot listen on"), ("192.0.2.1", "Cannot assign requested address")],
)
def test_an_address_that_is_not_ours(home: Path, host: str, complaint: str) -> None:
    done = run("serve", "--home", home, "--host", host, "--port", "0")
    assert done.returncode == exits.FAILED
    assert complaint in done.stderr and host in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "api", "worker", "migrate"])
def test_an_unreachable_database(home: Path, command: str) -> None:
    port = ["--port", "0"] if command in ("serve", "api") else []
    done = run(command, "--home", home, "--database-url", UNREACHABLE, *port)
    assert done.returncode == exits.DATABASE_UNREACHABLE
    assert "cannot reach the database host 127.0.0.1, port 1, dbname nowhere" in done.stderr
    assert "hush-hush" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "api", "worker", "migrate"])
def test_a_newer_schema(migrated: str, home: Path, command: str) -> None:
    execute(migrated, "UPDATE alembic_version SET version_num = '9999'")
    port = ["--port", "0"] if command in ("serve", "api") else []
    done = run(command, "--home", home, "--database-url", migrated, *port)
    assert done.returncode == exits.SCHEMA_NEWER
    assert "9999" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_database_that_is_not_migrated(database: str, home: Path, command: str) -> None:
    port = ["--port", "0"] if command == "api" else []
    done = run(command, "--home", home, "--database-url", database, *port)
    assert done.returncode == exits.FAILED
    assert "run `accredit migrate`" in done.stderr


def test_settings_that_are_wrong_are_named() -> None:
    done = run("serve", "--port", "99999", ACCREDIT_SHUTDOWN_TIMEOUT="soon")
    assert done.returncode == exits.USAGE
    assert "--port: " in done.stderr and "ACCREDIT_SHUTDOWN_TIMEOUT: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_url_that_is_none_is_not_repeated() -> None:
    done = run("worker", ACCREDIT_DATABASE_URL="postgresql://somebody:hush%hush@somewhere/")
    assert done.returncode == exits.USAGE
    assert done.stderr == "accredit: ACCREDIT_DATABASE_URL is not a PostgreSQL URL\n"


# The command line itself


def test_flags_are_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCREDIT_PORT", "1234")
    monkeypatch.setenv("ACCREDIT_HOST", "::1")
    settings = settings_from_flags(port=4321, issuers="https://a.example, https://b.example", host=None)
    assert (settings.port, settings.host) == (4321, "::1")
    assert settings.issuers == ["https://a.example", "https://b.example"]


def test_importing_the_command_line_is_light() -> None:
    script = "import sys, accredit.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"litestar", "msgspec", "psycopg", "pydantic", "structlog", "uvicorn"} & set(done.stdout.split())
    assert not heavy


@pytest.mark.parametrize("missing", ["pydantic_settings", "psycopg"])
def test_without_the_server_extra_it_says_what_to_install(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from accredit.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "migrate"], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == exits.FAILED
    assert done.stderr == f'accredit: this command needs {missing}: install "accredit[server]"\n'


def test_version() -> None:
    assert run("--version").stdout.startswith("accredit ")


# The parts


def test_migrate_tells_what_it_did(home: Path) -> None:
    assert run("migrate", "--home", home).stdout.startswith("migrated to revision ")
    done = run("migrate", "--home", home)
    assert (done.returncode, done.stdout.split(" revision ")[0]) == (0, "already at")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_api_and_worker_run_by_themselves(migrated: str, home: Path, number: signal.Signals) -> None:
    common = ["--home", home, "--database-url", migrated]
    with Accredit("api", "--port", "0", *common) as api, Accredit("worker", *common) as worker:
        url = api.url()
        assert get(url, "/health/live") == 200
        until(lambda: get(url, "/health/ready") == 200)
        for process in (api, worker):
            process.signal(number)
            code, out, _ = process.wait()
            assert (code, out) == (0, "")


def test_api_brings_its_own_database_where_none_is_given(home: Path) -> None:
    assert run("migrate", "--home", home).returncode == 0
    with Accredit("api", "--port", "0", "--home", home) as api:
        assert get(api.url(), "/health/live") == 200
        family = api.family()
        assert family
        api.signal(signal.SIGTERM)
        assert api.wait()[0] == 0
        assert all_gone(family)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_an_ipv6_address_is_bracketed(migrated: str, home: Path) -> None:
    with Accredit("api", "--host", "::1", "--port", "0", "--home", home, "--database-url", migrated) as api:
        url = api.url()
        assert url.startswith("http://[::1]:")
        assert get(url, "/health/live") == 200


# All of it


def test_serve_starts_from_nothing_stops_cleanly_and_goes_on(home: Path) -> None:
    with Accredit("serve", "--home", home, "--port", "0") as serve:
        url = serve.url()
        assert json.loads((home / "service.json").read_text()) == {"url": url, "pid": serve.pid}
        assert get(url, "/health/ready") == 200
        for part in serve.family():  # a terminal's Ctrl-C does not reach them
            assert os.getpgid(part.pid) != os.getpgid(serve.pid)
        execute(EmbeddedPostgres(home).url, "CREATE TABLE kept AS VALUES (42)")
        family = serve.family()
        serve.signal(signal.SIGTERM)
        code, out, _ = serve.wait()
        assert (code, out) == (0, "")
        assert not any(process.is_running() for process in family)
        assert not (home / "service.json").exists()
    with Accredit("serve", "--home", home, "--port", "0", "--api-processes", "2") as serve:
        serve.url()
        assert execute(EmbeddedPostgres(home).url, "SELECT * FROM kept") == (42,)
        family = serve.family()
        assert len(serve.parts("api")) == 2
        serve.signal(signal.SIGINT)
        assert serve.wait()[0] == 0
        assert all_gone(family)


def test_what_is_killed_is_restarted(home: Path) -> None:
    with Accredit("serve", "--home", home, "--port", "0") as serve:
        url = serve.url()
        for word, name in (("api", "API"), ("worker", "worker")):
            for pause in (0.1, 0.2):
                killed = serve.part(word)
                killed.kill()
                assert serve.event("died, restarting", part=name, process=killed.pid)["pause"] == pause
                assert serve.event("started", part=name)["process"] == serve.part(word).pid
            until(lambda: get(url, "/health/ready") == 200)
        killed = serve.part(str(home / "postgres"))
        killed.kill()
        serve.event("PostgreSQL is gone, restarting")
        serve.event("PostgreSQL is up", owner=True)
        assert serve.part(str(home / "postgres")) != killed
        until(lambda: get(url, "/health/ready") == 200)
        family = serve.family()
        serve.signal(signal.SIGTERM)
        assert serve.wait()[0] == 0
        assert all_gone(family)


def test_a_second_service_on_a_home_takes_over_when_the_first_stops(home: Path) -> None:
    with Accredit("serve", "--home", home, "--port", "0") as first:
        first.url()
        with Accredit("serve", "--home", home, "--port", "0") as second:
            url = second.url()
            first.signal(signal.SIGTERM)
            assert first.wait()[0] == 0
            second.event("PostgreSQL is up", owner=True)
            until(lambda: get(url, "/health/ready") == 200)
            assert json.loads((home / "service.json").read_text())["pid"] == second.pid
            second.signal(signal.SIGTERM)
            assert second.wait()[0] == 0


def test_the_parts_have_the_settings_of_the_whole(migrated: str, home: Path) -> None:
    flags = ["--no-require-mfa", "--audiences", "one,two", "--host", "localhost", "--log-format", "json"]
    with Accredit("serve", "--home", home, "--port", "0", "--database-url", migrated, *flags) as serve:
        port = serve.url().rpartition(":")[2]
        for word in ("api", "worker"):
            environment = serve.part(word).environ()
            assert environment["ACCREDIT_REQUIRE_MFA"] == "False"
            assert environment["ACCREDIT_AUDIENCES"] == "one,two"
            assert environment["ACCREDIT_HOST"] == "localhost"
            assert environment["ACCREDIT_PORT"] == port
            assert environment["ACCREDIT_DATABASE_URL"] == migrated
            assert environment["ACCREDIT_HOME"] == str(home.resolve())
        assert not (home / "postgres").exists()
        serve.signal(signal.SIGTERM)
        assert serve.wait()[0] == 0


def test_a_part_that_cannot_start_ends_the_start(migrated: str, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run(
            *("serve", "--home", home, "--port", "0", "--database-url", migrated),
            ACCREDIT_WORKER_METRICS_PORT=str(other.getsockname()[1]),
        )
    assert (done.returncode, done.stdout) == (exits.FAILED, "")
    assert done.stderr.splitlines()[-1] == "accredit: the worker ended with code 1"


def test_the_demo_says_how_to_get_a_token(home: Path) -> None:
    with Accredit("serve", "--demo", "--home", home, "--port", "0") as serve:
        serve.url()
        lines = serve.lines_until(f"token --home {home}")
        token = subprocess.run(lines[-1], shell=True, capture_output=True, text=True, check=True, env=ENVIRONMENT)
        assert token.stdout.count(".") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_service_leaves_no_processes_behind(home: Path) -> None:
    with Accredit("serve", "--home", home, "--port", "0") as serve:
        serve.url()
        family = serve.family()
        serve.signal(signal.SIGKILL)
        assert all_gone(family)


def test_a_second_signal_hurries(home: Path) -> None:
    with Accredit("serve", "--home", home, "--port", "0") as serve:
        serve.url()
        family = serve.family()
        serve.part("worker").suspend()  # it will not stop
        serve.signal(signal.SIGTERM)
        serve.event("stopping")
        serve.signal(signal.SIGTERM)
        assert serve.wait()[0] == exits.FAILED
        assert all_gone(family)


def test_a_signal_during_the_start_stops_cleanly(database: str, home: Path) -> None:
    with psycopg.connect(database, autocommit=True) as other_host:
        other_host.execute("SELECT pg_advisory_lock(%s)", (migrate._LOCK,))
        with Accredit("serve", "--home", home, "--port", "0", "--database-url", database) as serve:
            until(lambda: execute(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
            serve.signal(signal.SIGTERM)
            code, out, _ = serve.wait()
            assert (code, out) == (0, "")


def until(condition: Callable[[], Any]) -> None:
    """Ask again and again; the test's own time limit ends it."""
    while not condition():
        pass
