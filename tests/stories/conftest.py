"""Services without processes, for stories that need no GitHub."""

from tests.web.conftest import private_key, service

__all__ = ["private_key", "service"]
