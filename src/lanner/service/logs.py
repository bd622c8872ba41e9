"""Logs to standard error: `key=value` for people, JSON for machines. No secret goes into one.

Everything that uses Python's logging (the sources, the web server, the store) comes out in the same form. So that no
reader of it can stop the service, `sys.stderr` is replaced by a `LogOutput`: warnings and tracebacks go there, too.
"""

from __future__ import annotations

import atexit
import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from lanner.priority import Priority
from lanner.secrecy import masked_urls
from lanner.service.log_output import LogOutput

Logger = structlog.stdlib.BoundLogger

_LEVELS = {
    Priority.WARNING: logging.WARNING,
    Priority.NOTICE: logging.INFO,
    Priority.INFORMATIONAL: logging.INFO,
    Priority.DEBUG: logging.DEBUG,
}
QUIET = ("uvicorn.access", "httpx", "asyncio", "watchfiles", "alembic", "sqlalchemy")
"""Loggers of libraries that tell too much: warnings and worse of them are enough."""


FINISH_SECONDS = 2.0
"""How long the end of the process waits for the reader of the log."""


def set_up(form: str, level: str, to_stderr: bool = True) -> LogOutput | None:
    """Send all logs to standard error, or nowhere. `form`: `text` or `json`; `level`: a priority word of falco.yaml.

    Returns what writes to standard error; None if the process has none.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _one_line,
    ]
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr is not None and sys.stderr.isatty(),
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    output: LogOutput | None = None
    if sys.stderr is not None:
        output = LogOutput(sys.stderr.fileno(), lambda count: formatter.format(_dropped(count)))
        sys.stderr = output
        atexit.register(output.finish, FINISH_SECONDS)
    handler = logging.NullHandler() if output is None or not to_stderr else logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(Priority.parse(level), logging.ERROR))
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return output


def logger(name: str) -> Logger:
    """The logger of a part of the service."""
    found: Logger = structlog.stdlib.get_logger(name)
    return found


def _dropped(count: int) -> logging.LogRecord:
    message = f"{count} log lines were dropped: standard error could not be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)


def _one_line(log: WrappedLogger, method: str, entry: EventDict) -> EventDict:
    """Control characters in texts become escapes: what an event or a client says must not forge lines. Whatever is
    logged, a URL in it loses its user, password and query."""
    return {key: _printable(value) if key != "exception" else value for key, value in entry.items()}


def _printable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = masked_urls(value)
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
