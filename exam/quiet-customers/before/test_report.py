import unittest

from database import ask, opened


class Report(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany("INSERT INTO customers VALUES (?, ?)", [(1, "Ada"), (2, "Bob"), (3, "Cy")])
        self.database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(1, 1, "2026-02-01", 500), (2, 1, "2026-03-01", 700), (3, 3, "2026-04-01", 100)],
        )

    def test_customers_with_orders(self):
        rows = ask(self.database, "customers", since="2026-01-01")
        self.assertIn(("Ada", 2, 1200), rows)
        self.assertIn(("Cy", 1, 100), rows)

    def test_who_never_ordered_is_listed_too(self):
        rows = ask(self.database, "customers", since="2026-01-01")
        self.assertEqual(rows, [("Ada", 2, 1200), ("Bob", 0, 0), ("Cy", 1, 100)])


if __name__ == "__main__":
    unittest.main()
