"""What the server writes: requests to stdout, one JSON object a line; everything else to stderr."""

from __future__ import annotations

import logging
import logging.config
import warnings

__all__ = ["configure"]

# KServe and gRPC log these with a traceback, though the client was at fault, or the server has said why it isn't ready.
EXPECTED = frozenset(
    {
        "DecodeError",
        "InvalidInput",
        "ModelNotFound",
        "ModelNotReady",
        "ServerNotLive",
        "ServerNotReady",
    }
)


class Unexpected(logging.Filter):
    """Lets through what an operator should read."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the errors that are answers to a client."""
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__name__ not in EXPECTED


CONFIGURATION = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"unexpected": {"()": Unexpected}},
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "message": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            "filters": ["unexpected"],
        },
        "stdout": {
            "class": "logging.StreamHandler",
            "formatter": "message",
            "stream": "ext://sys.stdout",
        },
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "kftext.access": {"handlers": ["stdout"], "propagate": False},
        "kserve": {"level": "WARNING"},
        "uvicorn": {"level": "WARNING"},
    },
}


def configure() -> None:
    """Set up logging for the process."""
    logging.config.dictConfig(CONFIGURATION)
    # KServe answers with a class that FastAPI has renounced; the warning would stand in each log.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
