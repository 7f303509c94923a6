import unittest

from database import ask, opened


class Hidden(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany("INSERT INTO invoices VALUES (?, ?)", [(1, "Ada"), (2, "Bob")])

    def test_items_and_payments_of_the_same_amount(self):
        self.database.executemany("INSERT INTO items VALUES (?, 1, 1, 500)", [(1,), (2,)])
        self.database.executemany("INSERT INTO payments VALUES (?, 1, 100)", [(1,), (2,), (3,)])
        self.assertEqual(ask(self.database, "balances"), [(1, 1000, 300, 700), (2, 0, 0, 0)])

    def test_payments_without_items_and_items_without_payments(self):
        self.database.executemany("INSERT INTO payments VALUES (?, 1, ?)", [(1, 50), (2, 70)])
        self.database.executemany("INSERT INTO items VALUES (?, 2, ?, 10)", [(1, 3), (2, 4)])
        self.assertEqual(ask(self.database, "balances"), [(1, 0, 120, -120), (2, 70, 0, 70)])

    def test_one_invoice_does_not_count_for_another(self):
        self.database.executemany("INSERT INTO items VALUES (?, ?, 1, 10)", [(1, 1), (2, 2), (3, 2)])
        self.database.executemany("INSERT INTO payments VALUES (?, ?, 1)", [(1, 1), (2, 2), (3, 2)])
        self.assertEqual(ask(self.database, "balances"), [(1, 10, 1, 9), (2, 20, 2, 18)])
