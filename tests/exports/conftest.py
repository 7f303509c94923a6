"""The services of the doors' tests, on rows that look as if much had happened until now."""

from __future__ import annotations

from tests.web.conftest import private_key, service

__all__ = ["private_key", "service"]
