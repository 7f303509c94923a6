"""What a policy file said last is kept, and what it said before goes to the audit log, on both databases."""

from __future__ import annotations

from bot.stores.database import Database
from bot.stores.policies import Policies
from bot.stores.switch import Switch


def test_a_file_is_kept_as_it_was_read_last(database: Database) -> None:
    store, log = Policies(database), Switch(database)
    assert store.of(3) is None
    store.keep(3, "acme/a", "main", "abc", b"a: \xff\x00", None)
    first = store.of(3)
    assert first is not None
    assert (first.repository, first.branch, first.sha, first.content) == (
        "acme/a",
        "main",
        "abc",
        b"a: \xff\x00",
    )
    assert log.log() == (), "the first look changes nothing"
    store.read(3)
    again = store.of(3)
    assert again is not None
    assert (again.changed_at, again.content) == (first.changed_at, first.content)
    assert again.read_at >= first.read_at
    store.keep(3, "acme/b", "main", "def", None, ["check: a → b"])
    gone = store.of(3)
    assert gone is not None
    assert (gone.repository, gone.sha, gone.content) == ("acme/b", "def", None)
    (entry,) = log.log()
    assert (entry.action, entry.repository, entry.about) == (
        "policy changed", "acme/b", {"sha": "def", "changes": ["check: a → b"]},
    )  # fmt: skip
