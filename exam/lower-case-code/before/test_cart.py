import unittest

from shop.cart import Cart
from shop.codes import Unknown, percent


class Codes(unittest.TestCase):
    def test_codes_work_in_upper_case(self):
        cart = Cart()
        cart.add("tea", 500)
        cart.apply("SPRING10")
        self.assertEqual(cart.total(), 450)

    def test_codes_work_in_lower_case(self):
        cart = Cart()
        cart.add("tea", 500)
        cart.add("cup", 300)
        cart.add("tea", 500)
        cart.apply("spring10")
        self.assertEqual(cart.total(), 1170)

    def test_an_unknown_code(self):
        with self.assertRaises(Unknown):
            percent("WINTER")


if __name__ == "__main__":
    unittest.main()
