"""How the service writes its log: one line an event, JSON for machines or a readable console. Only what kafka-python says over
and over is thinned."""

import logging
import re
import time
from typing import Any

import structlog

REPEAT_AFTER_SECONDS = 30.0
REMEMBERED = 500

#: The token of an unsubscribe link is all the authority there is, and it does not expire.
_TOKEN_IN_PATH = re.compile(r"/u/[\w-]+")


def without_tokens(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Take tokens out of what names a request's path, our own words or Django's."""
    for name, value in event.items():
        if isinstance(value, str) and "/u/" in value:
            event[name] = _TOKEN_IN_PATH.sub("/u/…", value)
    return event


SHARED: list[Any] = [
    without_tokens,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.UnicodeDecoder(),
]


class Thinned(logging.Filter):
    """Lets each thing that kafka-python says through once in `REPEAT_AFTER_SECONDS`, with the count of what was left out meanwhile.

    While a broker is away or a topic is missing, it says the same several times a second.
    """

    def __init__(self) -> None:
        super().__init__("kafka")
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether `record` is to be written."""
        if not super().filter(record):
            return True
        thing = (record.name, str(record.msg))
        now = time.monotonic()
        last, left_out = self._said.pop(thing, (float("-inf"), 0))
        while len(self._said) >= REMEMBERED:  # what was said the longest time ago: some of its words hold numbers
            del self._said[next(iter(self._said))]
        if now - last < REPEAT_AFTER_SECONDS:
            self._said[thing] = (last, left_out + 1)
            return False
        self._said[thing] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", None
        return True


def logging_config(*, level: str, fmt: str) -> dict[str, Any]:
    """Return Django's LOGGING. `fmt`: `json` (one escaped line an event) or `console`. Also configures structlog to go through it."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    as_json = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The plain traceback, because rich's prints the values of local variables, and secrets are among them.
    renderer: list[Any] = (
        as_json
        if fmt == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
                "foreign_pre_chain": SHARED,
            }
        },
        "filters": {"thinned": {"()": Thinned}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["thinned"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "kafka": {"level": "WARNING"},
            "django": {"level": "INFO"},
            "uvicorn.access": {"level": "WARNING"},
            # A traceback a second while Redis is away. The doorbell and the publisher of realtime say it once, in words.
            "channels_redis": {"level": "CRITICAL"},
        },
    }
