"""Structured logs on stderr: one event a line, JSON or text, never a token or a secret."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict

from accredit.settings import Settings

_SECRET = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|(?i:\bbearer)\s+[^\s\"']+|(?<=://)[^:/@\s]*:[^@/\s]+(?=@)")
"""Tokens, ``Authorization`` values, and credentials in URLs, wherever they stand in a text."""
_TRACES = ("eyj", "bearer", "://")
"""Without any of these (in lower case) a line holds no secret: quick to tell, for the many lines that hold none."""


def redact(text: str) -> str:
    """``text`` without tokens and passwords."""
    return _SECRET.sub("[redacted]", text) if _may_hold_secret(text) else text


def _may_hold_secret(text: str) -> bool:
    lower = text.lower()
    return any(trace in lower for trace in _TRACES)


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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries tell of their everyday at info; ours is enough.
    logging.basicConfig(handlers=[_FromStandardLibrary()], level=max(level, logging.WARNING), force=True)


# Our own events carry no secrets; an exception's text might, and what a client says of itself.
def _as_json(_: Any, __: str, event: EventDict) -> str:
    line = msgspec.json.encode(event, enc_hook=str).decode()
    # Redacted before it is JSON: a secret must not take the quote behind it along.
    return msgspec.json.encode(_redacted(event)).decode() if _may_hold_secret(line) else line


def _redacted(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _redacted(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return redact(str(value))


def _as_text(_: Any, __: str, event: EventDict) -> str:
    what = str(event.pop("event"))
    head = f"{event.pop('timestamp')} {event.pop('level'):<7} {what if what.isprintable() else repr(what)}"
    exception = event.pop("exception", None)
    facts = "".join(f" {name}={_word(str(value))}" for name, value in event.items())
    return redact(f"{head}{facts}\n{exception}" if exception else head + facts)


def _word(value: str) -> str:
    """``value`` as one word of one line, whatever a client put into it."""
    return value if value.isprintable() and " " not in value else repr(value)
