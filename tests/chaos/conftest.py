"""As the doors' tests have it: an App's private key."""

from tests.web.conftest import private_key

__all__ = ["private_key"]
