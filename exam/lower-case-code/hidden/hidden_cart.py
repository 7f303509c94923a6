import unittest

from shop.cart import Cart


class Hidden(unittest.TestCase):
    def test_what_is_added_twice_is_there_twice(self):
        cart = Cart()
        cart.add("tea", 500, 2)
        cart.add("tea", 500, 3)
        self.assertEqual((cart.pieces("tea"), cart.total()), (5, 2500))

    def test_three_times(self):
        cart = Cart()
        for _ in range(3):
            cart.add("cup", 300)
        self.assertEqual((cart.pieces("cup"), cart.total()), (3, 900))

    def test_taking_out_what_was_added_twice(self):
        cart = Cart()
        cart.add("tea", 500)
        cart.add("tea", 500)
        cart.remove("tea")
        self.assertEqual((cart.pieces("tea"), cart.total()), (1, 500))
        cart.remove("tea", 9)
        self.assertEqual((cart.pieces("tea"), cart.total()), (0, 0))
        cart.add("tea", 500)
        self.assertEqual(cart.total(), 500)

    def test_no_discount_but_by_a_code(self):
        cart = Cart()
        cart.add("tea", 501)
        self.assertEqual(cart.total(), 501)
        cart.apply("staff25")
        self.assertEqual(cart.total(), 375)
