import unittest

from database import ask, opened


class Balances(unittest.TestCase):
    def setUp(self):
        self.database = opened()
        self.addCleanup(self.database.close)
        self.database.executemany("INSERT INTO invoices VALUES (?, ?)", [(1, "Ada"), (2, "Bob"), (3, "Cy")])

    def test_one_item_one_payment(self):
        self.database.execute("INSERT INTO items VALUES (1, 1, 2, 500)")
        self.database.execute("INSERT INTO payments VALUES (1, 1, 400)")
        self.assertEqual(ask(self.database, "balances")[0], (1, 1000, 400, 600))

    def test_nothing_yet(self):
        self.assertEqual(ask(self.database, "balances")[2], (3, 0, 0, 0))

    def test_several_items_and_several_payments(self):
        self.database.executemany("INSERT INTO items VALUES (?, 2, 1, ?)", [(1, 1000), (2, 250)])
        self.database.executemany("INSERT INTO payments VALUES (?, 2, ?)", [(1, 300), (2, 450)])
        self.assertEqual(ask(self.database, "balances")[1], (2, 1250, 750, 500))


if __name__ == "__main__":
    unittest.main()
