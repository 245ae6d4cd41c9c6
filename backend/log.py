"""The structured log: one JSON object per line, rotated."""

from __future__ import annotations

import datetime
import json
import logging
import logging.handlers
from pathlib import Path

LOG_BYTES = 5_000_000
OLD_LOGS = 3


class JsonLines(logging.Formatter):
    """time, level, logger, message, and whatever a call passed as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start_logging(file: Path) -> None:
    """Sends everything of level info and above to `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        file, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8"
    )
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # The service writes its own access lines, with timings and without query strings.
    logging.getLogger("uvicorn.access").propagate = False
