"""A cart. Money in cents."""

from shop.codes import percent


class Cart:
    def __init__(self):
        self._prices = {}
        self._pieces = {}
        self._off = 0

    def add(self, article, cents, pieces=1):
        """Put pieces of an article into the cart, at this price each."""
        self._prices[article] = cents
        self._pieces[article] = self.pieces(article) + pieces

    def pieces(self, article):
        """How many pieces of an article are in the cart."""
        return self._pieces.get(article, 0)

    def remove(self, article, pieces=1):
        """Take pieces out again; never fewer than none are left."""
        left = self.pieces(article) - pieces
        if left > 0:
            self._pieces[article] = left
        else:
            self._pieces.pop(article, None)

    def apply(self, code):
        """Use a discount code; the last one counts."""
        self._off = percent(code)

    def total(self):
        """What is to be paid, rounded down."""
        whole = sum(self._prices[each] * pieces for each, pieces in self._pieces.items())
        return whole * (100 - self._off) // 100
