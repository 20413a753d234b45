"""Structured logs on stderr: one event a line, JSON or text, never a token or a secret."""

import logging
import re
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict

from accredit.settings import Settings

_SECRET = re.compile(r"(?i)\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|\bbearer\s+[^\s\"']+|(?<=://)[^:/@\s]+:[^@/\s]+(?=@)")
"""Tokens, ``Authorization`` values, and credentials in URLs, wherever they stand in a line."""
_TRACES = ("eyj", "bearer", "://")
"""Without any of these (in lower case) a line holds no secret: quick to tell, for the many lines that hold none."""


def redact(text: str) -> str:
    """``text`` without tokens and passwords."""
    lower = text.lower()
    return _SECRET.sub("[redacted]", text) if any(trace in lower for trace in _TRACES) else text


class _RedactedStderr:
    """What the log lines are written to. Our own events carry no secrets; an exception's text might."""

    def write(self, line: str) -> None:
        sys.stderr.write(redact(line))

    def flush(self) -> None:
        sys.stderr.flush()


class _FromStandardLibrary(logging.Handler):
    """Passes the log records of libraries (uvicorn, PgQueuer, psycopg) on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def configure(settings: Settings) -> None:
    """Set up the logs of this process."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.format_exc_info,
            _as_json if settings.log_format == "json" else _as_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_RedactedStderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    # Libraries tell of their everyday at info; ours is enough.
    logging.basicConfig(handlers=[_FromStandardLibrary()], level=max(level, logging.WARNING), force=True)


def _as_json(_: Any, __: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _as_text(_: Any, __: str, event: EventDict) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level'):<7} {event.pop('event')}"
    exception = event.pop("exception", None)
    facts = "".join(f" {name}={value!r}" if " " in str(value) else f" {name}={value}" for name, value in event.items())
    return f"{head}{facts}\n{exception}" if exception else head + facts
