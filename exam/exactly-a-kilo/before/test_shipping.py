import unittest

from shop.shipping import TooHeavy, cost


class Shipping(unittest.TestCase):
    def test_within_a_band(self):
        self.assertEqual(cost(300), 390)
        self.assertEqual(cost(1_200), 690)

    def test_express_is_added(self):
        self.assertEqual(cost(300, express=True), 890)

    def test_exactly_one_kilo_is_in_the_first_band(self):
        self.assertEqual(cost(1_000), 390)

    def test_too_heavy(self):
        with self.assertRaises(TooHeavy):
            cost(30_000)


if __name__ == "__main__":
    unittest.main()
