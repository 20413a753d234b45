"""Running the service: all of it under one supervisor, or its parts one by one."""

import asyncio
import errno
import functools
import json
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import structlog
import typer
import uvicorn
import uvloop

from accredit.cli import exits
from accredit.cli.database import explained, open_database
from accredit.database import migrate
from accredit.database.embedded import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    database_url,
    die_with_parent,
)
from accredit.operations import logs
from accredit.settings import Settings

log = structlog.get_logger("accredit.serve")

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 2048
_KEEP_ALIVE = 75  # seconds; longer than the pauses of clients that poll
_READY_WITHIN = 30.0
_READY_POLL = 0.05
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_SETTLED = 30.0  # seconds after which a restarted process counts as well
_GRACE = 5.0  # seconds beyond the shutdown timeout until a child is killed
_DEMO_CUSTOMER = "5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01"  # Contoso School District, in partners/demo.json


def serve(settings: Settings, *, demo: bool, api_processes: int) -> None:
    """Run database, API and worker until SIGINT or SIGTERM; leaves with a code of ``exits`` where it cannot."""
    logs.configure(settings)
    listener = _listen(settings.host, settings.port)
    with explained(settings):
        try:
            asyncio.run(_Service(settings, listener, demo=demo, api_processes=api_processes).run())
        except _FailedToStart as error:
            exits.fail(error.code, str(error))


def api(settings: Settings, *, fd: int | None) -> None:
    """Run one API process until SIGINT or SIGTERM, on the listening socket ``fd`` or on one of its own."""
    from accredit.app import create_app

    _stop_on_signal()
    logs.configure(settings)
    listener = _listen(settings.host, settings.port) if fd is None else socket.socket(fileno=fd)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    with open_database(settings) as url:
        server = _ApiServer(
            uvicorn.Config(
                create_app(settings, url),
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=settings.shutdown_timeout,
            ),
            announce=None if fd is not None else _url(settings.host, listener),
        )
        server.run(sockets=[listener])


def worker(settings: Settings) -> None:
    """Run one vetting worker until SIGINT or SIGTERM."""
    from accredit.vetting.worker import run

    _stop_on_signal()
    logs.configure(settings)
    with open_database(settings) as url:
        uvloop.run(run(settings, url))


def migrate_command(settings: Settings) -> None:
    """Bring the database to this program's schema, and say whether that was needed."""
    _stop_on_signal()
    logs.configure(settings)
    with explained(settings), database_url(settings) as url:
        done = migrate.migrate(url)
    typer.echo(f"{'migrated to' if done else 'already at'} revision {migrate.revisions()[-1]}")


class _ApiServer(uvicorn.Server):
    """uvicorn, telling where it listens and failing with a code of ours."""

    def __init__(self, config: uvicorn.Config, *, announce: str | None) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's own code for this means something else here
            raise SystemExit(exits.FAILED) from None
        if self._announce is not None:
            typer.echo(f"accredit is listening on {self._announce}")


class _Backoff:
    """The pauses before restarts: twice as long each time, short again after a good while of running."""

    def __init__(self) -> None:
        self._pause = _SHORTEST_PAUSE
        self._started = time.monotonic()

    def started(self) -> None:
        self._started = time.monotonic()

    def next(self) -> float:
        if time.monotonic() - self._started > _SETTLED:
            self._pause = _SHORTEST_PAUSE
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause


class _FailedToStart(Exception):
    """The service does not come up, and would not at another try either."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Child:
    """One of our processes, started again whenever it ends, until :meth:`stop`.

    Until it is ``proven``, an end with an error of its own is final: it would end the same way again.
    """

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], fd: int | None = None) -> None:
        self._name = name
        self._command = [sys.executable, "-m", "accredit", *arguments]
        self._environment = environment
        self._pass_fds = () if fd is None else (fd,)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self.proven = False
        self.kept = asyncio.create_task(self._keep())

    async def stop(self, patience: float) -> None:
        """Ask it to end, wait until it has, and kill it when ``patience`` (seconds) is over."""
        self._stopping.set()
        self._send(signal.SIGTERM)
        _, pending = await asyncio.wait([self.kept], timeout=patience)
        if pending:
            log.error("killing, it does not stop", part=self._name, patience=patience)
            self.kill()
            await asyncio.wait([self.kept])

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has just ended
                self._process.send_signal(number)

    async def _keep(self) -> None:
        """Raises :class:`_FailedToStart`."""
        backoff = _Backoff()
        while not self._stopping.is_set():
            backoff.started()
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                env=self._environment,
                pass_fds=self._pass_fds,
                process_group=0,  # a terminal's Ctrl-C is for us, who stop it in its turn
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
            log.debug("started", part=self._name, process=process.pid)
            if self._stopping.is_set():
                self._send(signal.SIGTERM)
            code = await process.wait()
            self._process = None
            if self._stopping.is_set():
                return
            if not self.proven and code > 0 and code != exits.DATABASE_UNREACHABLE:
                raise _FailedToStart(code, f"the {self._name} ended with code {code}")
            pause = backoff.next()
            log.warning("died, restarting", part=self._name, process=process.pid, code=code, pause=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)


class _Service:
    """Database, API and worker, kept running. For one :meth:`run`."""

    def __init__(self, settings: Settings, listener: socket.socket, *, demo: bool, api_processes: int) -> None:
        self._settings = settings
        self._listener = listener
        self._url = _url(settings.host, listener)
        self._demo = demo
        self._api_processes = api_processes
        self._database: EmbeddedPostgres | None = None
        # PostgreSQL goes down with the thread that started it, so that gets a thread that stays.
        self._thread = ThreadPoolExecutor(1)
        self._apis: list[_Child] = []
        self._workers: list[_Child] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run until a stop signal, or until something fails that would fail again: that is raised."""
        loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = loop.create_future()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        self._begin(self._start())
        try:
            await self._end
        finally:
            await self._shut_down()

    def _on_signal(self) -> None:
        if not self._end.done():
            log.info("stopping")
            self._end.set_result(None)
            return
        log.warning("killing everything, at a second signal")
        for child in self._children:
            child.kill()
        if self._database is not None:
            self._database.kill()
        self._withdraw()
        os._exit(exits.FAILED)

    @property
    def _children(self) -> list[_Child]:
        return self._apis + self._workers

    def _begin(self, part: Coroutine[Any, Any, None]) -> None:
        """Run ``part`` until the end, and let its failure be the end."""
        task = asyncio.create_task(part)
        self._tasks.append(task)
        task.add_done_callback(self._look_for_failure)

    def _look_for_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self._end.done():
            self._end.set_exception(error)

    async def _start(self) -> None:
        url = self._settings.database_url
        if url is None:
            self._database = EmbeddedPostgres(self._settings.home)
            url = self._database.url
            await self._in_thread(self._database.start)
            self._begin(self._keep_database(self._database))
        await _in_daemon(functools.partial(self._prepare, url))
        environment = _environment(self._settings, url, self._listener)
        fd = self._listener.fileno()
        self._apis = [_Child("API", ["api", "--fd", str(fd)], environment, fd) for _ in range(self._api_processes)]
        self._workers = [_Child("worker", ["worker"], environment)]
        for child in self._children:
            child.kept.add_done_callback(self._look_for_failure)
        await self._until_ready()
        for child in self._children:
            child.proven = True
        self._publish()
        typer.echo(f"accredit is listening on {self._url}")
        if self._demo:
            typer.echo(_demo_hint(self._settings, self._url), err=True)

    def _prepare(self, url: str) -> None:
        migrate.migrate(url)
        if self._demo:
            from accredit.partners.seed import seed_demo

            seed_demo(url)

    async def _keep_database(self, database: EmbeddedPostgres) -> None:
        """Start PostgreSQL again whenever it is gone, whether it was ours or another process's."""
        backoff = _Backoff()
        while True:
            try:
                await self._in_thread(database.start)
                log.debug("PostgreSQL is up", owner=database.owner)
                backoff.started()
                await _readable(database.fileno())
                log.warning("PostgreSQL is gone, restarting")
            except EmbeddedPostgresError as error:
                log.error("PostgreSQL does not start", error=str(error))
            await asyncio.sleep(backoff.next())

    async def _until_ready(self) -> None:
        host, port = self._listener.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (not bound to here)
        give_up = time.monotonic() + _READY_WITHIN
        answer = "no answer"
        while True:
            with suppress(OSError, TimeoutError):
                answer = await asyncio.wait_for(_ask_ready(host, port), _READY_WITHIN)
            if answer.startswith("HTTP/1.1 200 "):
                return
            if time.monotonic() > give_up:
                raise _FailedToStart(exits.FAILED, f"not ready after {_READY_WITHIN:.0f} s: {answer}")
            await asyncio.sleep(_READY_POLL)

    async def _shut_down(self) -> None:
        """Stop the parts, those first that need the others."""
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        patience = self._settings.shutdown_timeout + _GRACE
        await asyncio.gather(*(child.stop(patience) for child in self._apis))
        await asyncio.gather(*(child.stop(patience) for child in self._workers))
        if self._database is not None:
            self._database.interrupt()
            await self._in_thread(self._database.stop)
        self._thread.shutdown()
        self._withdraw()

    async def _in_thread(self, function: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function)

    @property
    def _notice(self) -> Path:
        return self._settings.home / "service.json"

    def _publish(self) -> None:
        """Leave word in the home of where the service listens."""
        self._settings.home.mkdir(parents=True, exist_ok=True)
        draft = self._notice.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"url": self._url, "pid": os.getpid()}))
        draft.replace(self._notice)

    def _withdraw(self) -> None:
        with suppress(FileNotFoundError):
            if json.loads(self._notice.read_bytes())["pid"] == os.getpid():
                self._notice.unlink()


def _stop_on_signal() -> None:
    """Let SIGINT and SIGTERM unwind this process and end it with code 0."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    for number in _STOP_SIGNALS:
        signal.signal(number, leave)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; where a name stands for several addresses, on the first, IPv4 preferred."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            exits.fail(exits.PORT_TAKEN, f"port {port} of {host} is taken: give another with --port")
        exits.fail(exits.FAILED, f"cannot listen on port {port} of {host}: {error.strerror}")


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _environment(settings: Settings, url: str, listener: socket.socket) -> dict[str, str]:
    """Our environment, with the settings as they are now in the place of those that it had."""
    given = settings.model_dump(mode="json") | {
        "database_url": url,
        "home": str(settings.home.resolve()),
        "port": listener.getsockname()[1],
    }
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("ACCREDIT_")}
    for name, value in given.items():
        if value is not None:
            environment[f"ACCREDIT_{name.upper()}"] = ",".join(value) if isinstance(value, list) else str(value)
    return environment


async def _in_daemon(function: Callable[[], None]) -> None:
    """Run ``function`` in a thread that holds up nobody's end: it may wait for another host's migration."""
    done: Future[None] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    await asyncio.wrap_future(done)


async def _readable(fd: int) -> None:
    """Wait until ``fd`` can be read."""
    loop, turned = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, turned.set)
    try:
        await turned.wait()
    finally:
        loop.remove_reader(fd)


async def _ask_ready(host: str, port: int) -> str:
    """The whole answer to ``GET /health/ready``."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()


def _demo_hint(settings: Settings, url: str) -> str:
    """What to paste into another terminal, in this folder, to see something happen."""
    program = sys.argv[0] if Path(sys.argv[0]).name == "accredit" else f"{sys.executable} -m accredit"
    token = f"{program} token --home {shlex.quote(str(settings.home))}"
    if settings.database_url is not None:
        token += ' --database-url "$ACCREDIT_DATABASE_URL"'  # not as it is: it may hold a password
    return f"""
A token of the demo partner's administrator:

  {token}

Ask for a customer's qualification, then look at what became of it:

  curl -sS -H "Authorization: Bearer $({token})" -H "Content-Type: application/json" \\
    -d '{{"qualification": "Education", "website": "contoso.k12.or.us"}}' \\
    {url}/v1/customers/{_DEMO_CUSTOMER}/qualifications
  curl -sS -H "Authorization: Bearer $({token})" {url}/v1/customers/{_DEMO_CUSTOMER}/qualifications
"""
