import unittest

from shop.shipping import BANDS, TooHeavy, cost


class Hidden(unittest.TestCase):
    def test_each_band_ends_at_its_weight(self):
        self.assertEqual([cost(1_000), cost(5_000), cost(20_000)], [390, 690, 1_290])

    def test_a_gram_more_is_in_the_next(self):
        self.assertEqual([cost(1_001), cost(5_001)], [690, 1_290])
        with self.assertRaises(TooHeavy):
            cost(20_001)

    def test_the_price_list_is_as_it_was(self):
        self.assertEqual(BANDS, ((1_000, 390), (5_000, 690), (20_000, 1_290)))
