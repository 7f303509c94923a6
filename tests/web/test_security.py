"""Attempts of docs/security.md at the service's doors that have no other place."""

from __future__ import annotations

import sqlalchemy as sa
from flask.testing import FlaskClient

from bot.services import Services
from bot.stores.tables import metadata, runs
from tests import samples
from tests.web.test_runs import Door, token
from tests.web.test_runs import door as runner
from tests.web.test_webhook import door, enqueued, post

__all__ = ["door", "runner"]


def test_a_comment_of_a_megabyte_is_taken_like_any_other(door: FlaskClient, service: Services) -> None:
    """GitHub allows far less; what it signs is taken all the same, and so is the next one."""
    launch = "launch.on_comment"
    comments = {"`" * 1_000_000: None, "/agent fix\n" + "> \n" * 330_000: launch, "/agent fix": launch}
    for words, started in comments.items():
        delivery = samples.delivery("issue_comment", "created", comment=words)
        status, answer = post(door, *delivery)
        assert (status, answer["started"]) == (202, started)
    assert len(enqueued(service)) == 2


def test_no_token_key_or_secret_stands_in_the_database_in_the_clear(runner: Door) -> None:
    """Whoever reads the database, or a copy of it, opens nothing with it."""
    run = runner.open()
    status, brief = runner.claim(run)
    assert status == 200
    secrets = runner.service.settings.secrets
    known = [
        brief["token"],
        token(),
        secrets.github_webhook_secret,
        secrets.github_private_key.splitlines()[1],
        *secrets.anthropic_keys.values(),
    ]
    with runner.service.database.read() as tx:
        for table in metadata.sorted_tables:
            for row in tx.execute(sa.select(table)):
                said = " ".join(map(str, row))
                assert [one for one in known if one and one in said] == [], table.name
        assert tx.execute(sa.select(runs.c.token_hash).where(runs.c.id == run)).scalar_one()
