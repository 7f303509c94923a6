import unittest

from bill.shares import split


class Hidden(unittest.TestCase):
    def test_several_cents_are_left_over(self):
        self.assertEqual(split(10000, [1] * 7), [1429, 1429, 1429, 1429, 1428, 1428, 1428])

    def test_the_odd_cent_goes_to_the_largest_remainder(self):
        self.assertEqual(split(100, [1, 1, 4]), [17, 17, 66])
        self.assertEqual(split(101, [10, 1]), [92, 9])
        self.assertEqual(split(10, [1, 8]), [1, 9])

    def test_it_always_adds_up(self):
        for total in range(0, 400, 7):
            for weights in ([1, 2, 3], [5, 5, 7, 11], [1, 0, 1], [3] * 9):
                shares = split(total, weights)
                self.assertEqual(sum(shares), total)
                exact = [total * weight / sum(weights) for weight in weights]
                self.assertTrue(all(abs(share - each) < 1 for share, each in zip(shares, exact)))

    def test_large_amounts_are_exact(self):
        self.assertEqual(split(10**17 + 1, [1, 1]), [5 * 10**16 + 1, 5 * 10**16])
