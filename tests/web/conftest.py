"""What several tests of the doors use: a service without a worker, a gateway, a browser."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from playwright.sync_api import Browser, sync_playwright

from bot import services, settings
from bot.services import Services
from bot.stores.database import Database
from sandbox.browser import program
from tests import samples
from tests.copies import Copies
from tests.web.gates import Gate, gated
from tests.web.upstreams import Upstream, upstream

AXE = "axe-core@4.14.1"  # from the npm registry, for these tests only


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
def service(migrated_url: str, private_key: str) -> Iterator[Services]:
    """Services on an empty database; GitHub is an address where nobody answers."""
    told = settings.read(
        {
            "DATABASE_URL": migrated_url,
            "PUBLIC_URL": "https://tollgate.example",
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_PRIVATE_KEY": private_key,
            "GITHUB_WEBHOOK_SECRET": samples.SECRET,
            "GITHUB_API_URL": "http://127.0.0.1:9",
            "ANTHROPIC_API_KEY": "sk-ant-test",
        }
    )
    with services.opened(told, "web") as opened:
        yield opened


@pytest.fixture
def above() -> Iterator[Upstream]:
    """An upstream that plays what a test gives it."""
    with upstream() as made:
        yield made


@pytest.fixture
def gate(copies: Copies, tmp_path: Path, above: Upstream) -> Iterator[Gate]:
    """A gateway below it."""
    database = Database(copies.sqlite(tmp_path / "ledger.db"))
    with gated(database, above.url, drain_seconds=1) as made:
        yield made
    database.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = program()
    if executable is None:
        pytest.skip("no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"{AXE} cannot be had from the registry here")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()
