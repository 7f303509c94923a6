"""gunicorn's own errors in the form that all lines have."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # it has none

from bot.logs import Lines


class Log(Logger):  # type: ignore[misc]
    """`logger_class` of gunicorn.conf.py: until the application says more, and in the master."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(Lines("web"))
