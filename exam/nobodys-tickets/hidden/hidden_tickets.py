import unittest

from database import ask, opened


class Hidden(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany(
            "INSERT INTO tickets VALUES (?, ?, ?)",
            [(1, "closed", None), (2, "open", ""), (3, "open", None), (4, "closed", "bob"), (5, "open", "ada")],
        )

    def test_what_is_closed_is_not_shown_whoever_held_it(self):
        self.assertEqual(ask(self.database, "others", me="ada"), [(2,), (3,)])

    def test_open_tickets_are_mine_or_not(self):
        for me in ("ada", "bob", ""):
            shown = ask(self.database, "mine", me=me) + ask(self.database, "others", me=me)
            self.assertEqual(sorted(shown), [(2,), (3,), (5,)])
