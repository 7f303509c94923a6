"""The roof: builds the services, mounts the doors. `gunicorn app:app`. What events start: stories/receive."""

from __future__ import annotations

import atexit
import sys
from functools import cache
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bot import logs
from bot.clients.anthropic import Upstream
from bot.services import Services, build
from bot.settings import SettingsError, environment, read, set_up_mode
from bot.stories.spend import Spend
from bot.web import away, health, laptop, metrics, runs, setup, steps, webhook
from bot.web.correlated import Correlated
from bot.web.dashboard import door as dashboard
from bot.web.ending import ENDING
from bot.web.gateway import Gateway

if TYPE_CHECKING:
    from bot.clients.oidc import Verifier

DRAIN_AT_END = 20.0  # seconds, of a process that ends without being told to


def create(services: Services) -> Flask:
    """The web process: every door of it."""
    settings = services.settings
    logs.to_stderr("web", settings.log_level, settings.secrets.values())
    spend = Spend(services.ledger, services.prices)
    gateway = Gateway(spend, Upstream(settings.anthropic_base_url), services.keys.get)

    @cache
    def verifier() -> Verifier:
        # Here and not above: with it comes cryptography, which the gateway does without.
        from bot.clients.oidc import Verifier

        return Verifier(settings.github_oidc_issuer, settings.public_url)

    roof = Flask(__name__, static_folder=None)
    roof.register_blueprint(webhook.door(services))
    roof.register_blueprint(runs.door(services, verifier, spend))
    roof.register_blueprint(steps.door(services, verifier))
    roof.register_blueprint(laptop.door(services))
    roof.register_blueprint(health.door(services))
    roof.register_blueprint(metrics.door(services))
    roof.register_blueprint(setup.configured(settings))
    roof.register_blueprint(dashboard.door(services))
    away.mount(roof)
    doors = DispatcherMiddleware(roof.wsgi_app, {"/anthropic": gateway})
    roof.wsgi_app = Correlated(doors)  # type: ignore[method-assign]
    # What clients have left is read to its end before the process goes.
    atexit.register(lambda: gateway.drain.finish(ENDING.left(DRAIN_AT_END)))
    return roof


try:
    env = environment()
    app = setup.UntilSetUp(env, create) if set_up_mode(env) else create(build(read(env), "web"))
except SettingsError as error:
    # Not where in our code it was found; and by this code gunicorn knows that no other worker would start.
    sys.stderr.write(f"{error}\n")
    sys.exit(3)
