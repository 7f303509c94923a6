"""The browser that makes pictures: a Chromium of this machine, without a screen."""

from __future__ import annotations

import shutil
from pathlib import Path


def program() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")


def command(browser: str, folder: Path, width: int, height: int) -> list[str]:
    """To be ended by what to make and of which page. `folder`: where it may keep what it keeps."""
    line = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    line += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return [*line, f"--user-data-dir={folder / 'browser'}", f"--window-size={width},{height}"]
