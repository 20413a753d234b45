"""The embedded PostgreSQL: real servers in temporary homes, and processes that come and go."""

import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import psutil
import psycopg
import pytest

from accredit.database.embedded import EmbeddedPostgres, EmbeddedPostgresError, database_url
from accredit.settings import Settings

PATIENCE = 60

# Another process: starts (and stops) the embedded PostgreSQL of a home, says what it became, and waits for a line.
STARTER = """
import sys
from pathlib import Path
from accredit.database import embedded
if "orphan" in sys.argv:
    embedded.die_with_parent = lambda number: None
server = embedded.EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("owner" if server.owner else "attached", flush=True)
sys.stdin.readline()
server.stop()
"""


@contextmanager
def own_folder() -> Iterator[Path]:
    """Not pytest's: under root, another session's start would close that to the user PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="accredit-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    with own_folder() as folder:
        yield folder


@pytest.fixture
def new_home(folder: Path) -> Path:
    """Where a home will be."""
    return folder / "home"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A home that was used before; to copy."""
    with own_folder() as home:
        with running(home):
            pass
        yield home


@pytest.fixture
def home(new_home: Path, template: Path) -> Path:
    """A home that was used before, and nobody uses now."""
    return copy(template, new_home)


def copy(template: Path, home: Path) -> Path:
    subprocess.run(["cp", "-a", template, home], check=True)
    return home


@contextmanager
def running(home: Path, server: EmbeddedPostgres | None = None) -> Iterator[EmbeddedPostgres]:
    server = server or EmbeddedPostgres(home)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def starter(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, home, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))


def family(home: Path) -> list[psutil.Process]:
    """The server of ``home`` with all its processes."""
    return [postmaster(home), *postmaster(home).children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_the_first_start_makes_a_durable_private_server(new_home: Path) -> None:
    with running(new_home) as server:
        assert server.owner
        settings = dict(execute(server.url, "SELECT name, setting FROM pg_settings"))
        assert (settings["fsync"], settings["synchronous_commit"]) == ("on", "on")
        assert settings["listen_addresses"] == ""
        assert (settings["server_encoding"], settings["TimeZone"]) == ("UTF8", "UTC")
        assert execute(server.url, "SELECT current_database()::text, current_user::text") == [("accredit", "postgres")]
        assert stat.S_IMODE((new_home / "postgres").stat().st_mode) == 0o700
        assert postmaster(new_home).uids().real != 0
        assert os.getpgid(postmaster(new_home).pid) != os.getpgid(0)  # a terminal's Ctrl-C does not reach it


def test_a_second_start_on_the_same_home_keeps_the_data(home: Path) -> None:
    with running(home) as server:
        execute(server.url, "CREATE TABLE kept AS SELECT 42 AS value")
        processes = family(home)
    assert all_gone(processes)
    with running(home) as server:
        assert execute(server.url, "SELECT value FROM kept") == [(42,)]


def test_start_and_stop_may_be_repeated(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.stop()
    server.start()
    first = postmaster(home)
    server.start()
    assert postmaster(home) == first
    server.stop()
    server.stop()
    assert all_gone([first])
    server.start()
    assert execute(server.url, "SELECT 1") == [(1,)]
    server.stop()


def test_a_second_one_attaches_and_leaves_the_server_alone(home: Path) -> None:
    with running(home) as owner:
        with running(home) as attached:
            assert (owner.owner, attached.owner) == (True, False)
            assert attached.url == owner.url
        assert execute(owner.url, "SELECT 1") == [(1,)]


def test_of_two_that_start_at_once_one_owns_and_one_attaches(new_home: Path) -> None:
    with starter(new_home) as one, starter(new_home) as other:
        became = {process.stdout.readline().strip(): process for process in (one, other)}
        assert set(became) == {"owner", "attached"}
        finish(became["attached"])
        assert execute(EmbeddedPostgres(new_home).url, "SELECT 1") == [(1,)]
        processes = family(new_home)
        finish(became["owner"])
    assert all_gone(processes)


def test_the_attached_one_takes_over_when_the_owner_stops(home: Path) -> None:
    with running(home) as owner, running(home) as attached:
        owner.stop()
        readable, _, _ = select.select([attached], [], [], PATIENCE)
        assert readable
        attached.start()
        assert attached.owner
        assert execute(attached.url, "SELECT 1") == [(1,)]


def test_a_killed_server_is_noticed_and_started_again_with_what_was_committed(home: Path) -> None:
    with running(home) as server:
        execute(server.url, "CREATE TABLE kept AS SELECT 42 AS value")
        postmaster(home).send_signal(signal.SIGKILL)
        readable, _, _ = select.select([server], [], [], PATIENCE)
        assert readable
        server.start()
        assert server.owner
        assert execute(server.url, "SELECT value FROM kept") == [(42,)]


def test_a_start_waits_for_the_last_processes_of_a_killed_server(home: Path) -> None:
    # The thread that starts the server has to outlive it.
    with running(home) as server, ThreadPoolExecutor(1) as thread:
        with psycopg.connect(server.url) as connection:
            lingering = psutil.Process(connection.info.backend_pid)
            lingering.suspend()
            killed = postmaster(home)
            killed.kill()
            # Until it is gone, a start finds it running and does nothing.
            assert select.select([server.fileno()], [], [], PATIENCE)[0]
            starting = thread.submit(server.start)
            while "is still in use" not in (home / "postgres.log").read_text():
                assert not starting.done()
            lingering.resume()
            starting.result(PATIENCE)
        assert postmaster(home) != killed
        assert execute(server.url, "SELECT 1") == [(1,)]


def test_the_end_of_a_server_that_ran_is_not_taken_for_a_failure_to_start(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server._server = subprocess.Popen(["false"])
    server._server.wait()
    with running(home, server):
        assert execute(server.url, "SELECT 1") == [(1,)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_owner_leaves_no_server_behind(home: Path) -> None:
    with starter(home) as owner:
        assert owner.stdout.readline() == "owner\n"
        processes = family(home)
        owner.kill()
    assert all_gone(processes)


def test_a_start_right_after_the_owner_was_killed_succeeds(home: Path) -> None:
    with starter(home) as owner:
        assert owner.stdout.readline() == "owner\n"
        execute(EmbeddedPostgres(home).url, "CREATE TABLE kept AS SELECT 42 AS value")
        owner.kill()
        owner.wait(PATIENCE)
        with running(home) as server:
            assert server.owner
            assert execute(server.url, "SELECT value FROM kept") == [(42,)]


def test_a_server_without_an_owner_is_replaced(home: Path) -> None:
    with starter(home, "orphan") as owner:
        assert owner.stdout.readline() == "owner\n"
        orphan = postmaster(home)
        owner.kill()
    assert orphan.is_running()
    with running(home) as server:
        assert server.owner
        assert postmaster(home) != orphan
        assert all_gone([orphan])


def test_a_dead_servers_number_given_to_another_process_is_no_obstacle(home: Path) -> None:
    user = (home / "postgres").stat().st_uid
    other = subprocess.Popen(["sleep", "infinity"], user=user if os.geteuid() == 0 else None)
    try:
        (home / "postgres" / "postmaster.pid").write_text(f"{other.pid}\n")
        with running(home) as server:
            assert server.owner
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("name", ["long" * 30, "a b", "a,b", 'a"b', "a%20b", "é"])
def test_any_home_path_will_do(folder: Path, template: Path, name: str) -> None:
    with running(copy(template, folder / name)) as server:
        assert execute(server.url, "SELECT 1") == [(1,)]
        sockets = Path(execute(server.url, "SHOW unix_socket_directories")[0][0].strip('"'))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


def test_a_socket_folder_that_others_can_enter_is_refused(folder: Path, template: Path) -> None:
    home = copy(template, folder / ("long" * 30))
    with running(home) as server:
        sockets = Path(execute(server.url, "SHOW unix_socket_directories")[0][0])
    sockets.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedPostgresError, match="is not a folder of ours alone"):
            EmbeddedPostgres(home).start()
    finally:
        sockets.rmdir()


def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    with (home / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    server = EmbeddedPostgres(home)
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        server.start()
    assert not server.owner


def test_an_interrupted_initialization_leaves_nothing_half_done(new_home: Path) -> None:
    half = new_home / "initdb-half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with running(new_home):
        assert not half.exists()


def test_a_start_can_be_interrupted(new_home: Path) -> None:
    new_home.mkdir()
    server = EmbeddedPostgres(new_home)
    errors: list[Exception] = []

    def start() -> None:
        try:
            server.start()
        except EmbeddedPostgresError as error:
            errors.append(error)

    with (new_home / "postgres.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # an owner that does not bring its server up
        thread = threading.Thread(target=start)
        thread.start()
        server.interrupt()
        thread.join(PATIENCE)
    assert "interrupted" in str(errors[0])


def test_a_home_that_cannot_be_made_is_an_error_of_ours(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match="Not a directory"):
        EmbeddedPostgres(folder / "file" / "home").start()


def test_a_given_url_needs_no_server(new_home: Path) -> None:
    given = "postgresql://somewhere.example/accredit"
    with database_url(Settings(home=new_home, database_url=given)) as url:
        assert url == given
    assert not new_home.exists()


def test_without_an_url_the_server_is_up_during_the_block(new_home: Path) -> None:
    with database_url(Settings(home=new_home, database_url=None)) as url:
        assert execute(url, "SELECT 1") == [(1,)]
        processes = family(new_home)
    assert all_gone(processes)


@pytest.mark.skipif(os.geteuid() != 0, reason="for root only")
def test_root_opens_no_more_than_the_way_to_the_data(new_home: Path) -> None:
    new_home.mkdir()
    new_home.parent.chmod(0o700)
    new_home.chmod(0o700)
    (new_home / "secret").touch(mode=0o600)
    with running(new_home):
        pass
    assert stat.S_IMODE(new_home.stat().st_mode) == stat.S_IMODE(new_home.parent.stat().st_mode) == 0o701
    assert (new_home / "secret").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="for root only")
def test_root_takes_a_data_folder_that_came_from_elsewhere(home: Path) -> None:
    for path in (home / "postgres", *(home / "postgres").rglob("*")):
        os.chown(path, 0, 0)
    with running(home) as server:
        assert execute(server.url, "SELECT 1") == [(1,)]
