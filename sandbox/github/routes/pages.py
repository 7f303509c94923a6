"""Pages for people (to come)."""

from __future__ import annotations

from flask import Blueprint

from sandbox.github.door import Doors


def blueprint(doors: Doors) -> Blueprint:
    return Blueprint("pages", __name__)
