import unittest

from database import ask, opened


class Tickets(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany(
            "INSERT INTO tickets VALUES (?, ?, ?)",
            [(1, "open", "ada"), (2, "open", "bob"), (3, "closed", "bob"), (4, "open", None)],
        )

    def test_mine(self):
        self.assertEqual(ask(self.database, "mine", me="ada"), [(1,)])

    def test_what_others_hold(self):
        self.assertIn((2,), ask(self.database, "others", me="ada"))

    def test_what_nobody_holds_is_not_mine(self):
        self.assertEqual(ask(self.database, "others", me="ada"), [(2,), (4,)])


if __name__ == "__main__":
    unittest.main()
