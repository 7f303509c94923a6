"""Accounts by name."""

from people.names import key


class Taken(Exception):
    """There is an account with the same name."""


class Accounts:
    def __init__(self):
        self._by_key = {}

    def open(self, name):
        """A new account; its name is kept as it was typed. Raises Taken."""
        if key(name) in self._by_key:
            raise Taken(name)
        self._by_key[key(name)] = name

    def find(self, name):
        """The name as it was typed when the account was opened, or None."""
        return self._by_key.get(key(name))
