import unittest

from database import ask, opened


class Hidden(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany("INSERT INTO customers VALUES (?, ?)", [(1, "Ada"), (2, "Bob"), (3, "Ada")])
        self.database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(1, 1, "2025-02-01", 500), (2, 2, "2025-03-01", 700), (3, 2, "2026-01-01", 100)],
        )

    def test_who_ordered_only_before_is_listed_with_nothing(self):
        rows = ask(self.database, "customers", since="2026-01-01")
        self.assertEqual(rows, [("Ada", 0, 0), ("Ada", 0, 0), ("Bob", 1, 100)])

    def test_two_customers_of_one_name_are_two(self):
        rows = ask(self.database, "customers", since="2025-01-01")
        self.assertEqual(sorted(rows), [("Ada", 0, 0), ("Ada", 1, 500), ("Bob", 2, 800)])

    def test_nobody_ordered(self):
        rows = ask(self.database, "customers", since="2027-01-01")
        self.assertEqual(rows, [("Ada", 0, 0), ("Ada", 0, 0), ("Bob", 0, 0)])
