import unittest

from bill.shares import split
from bill.table import with_tip


class Bill(unittest.TestCase):
    def test_what_divides_evenly(self):
        self.assertEqual(split(9000, [1, 1, 1]), [3000, 3000, 3000])

    def test_no_cent_is_lost(self):
        self.assertEqual(split(10000, [1, 1, 1]), [3334, 3333, 3333])

    def test_a_tip_is_shared_by_order(self):
        self.assertEqual(with_tip({"ada": 3000, "bob": 1000}, 400), {"ada": 3300, "bob": 1100})

    def test_somebody_pays(self):
        with self.assertRaises(ValueError):
            split(100, [0, 0])


if __name__ == "__main__":
    unittest.main()
