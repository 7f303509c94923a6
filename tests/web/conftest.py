"""A service whose doors are open and whose worker is not there: what is enqueued stays in the queue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot import services, settings
from bot.services import Services
from tests import samples


@pytest.fixture(scope="session")
def private_key() -> str:
    """An App's private key, PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def service(database_url: str, private_key: str) -> Iterator[Services]:
    """Services on an empty database; GitHub is an address where nobody answers."""
    told = settings.read(
        {
            "DATABASE_URL": database_url,
            "PUBLIC_URL": "https://tollgate.example",
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY": private_key,
            "GITHUB_WEBHOOK_SECRET": samples.SECRET,
            "GITHUB_API_URL": "http://127.0.0.1:9",
            "ANTHROPIC_API_KEY": "sk-ant-test",
        }
    )
    services.migrate(told)
    with services.opened(told, "web") as opened:
        yield opened
