import itertools
import unittest

from rooms.bookings import Booking, merged
from rooms.calendar import free


class Hidden(unittest.TestCase):
    def test_one_booking_over_several(self):
        bookings = [Booking(10, 20), Booking(40, 50), Booking(0, 100)]
        self.assertEqual(merged(bookings), [Booking(0, 100)])

    def test_the_order_in_which_they_were_booked_does_not_matter(self):
        bookings = [Booking(0, 30), Booking(5, 10), Booking(8, 40), Booking(60, 70)]
        for order in itertools.permutations(bookings):
            self.assertEqual(merged(order), [Booking(0, 40), Booking(60, 70)])

    def test_the_same_start(self):
        self.assertEqual(merged([Booking(0, 50), Booking(0, 10)]), [Booking(0, 50)])

    def test_minute_by_minute(self):
        bookings = [Booking(3, 9), Booking(4, 5), Booking(0, 1), Booking(8, 12), Booking(14, 15)]
        taken = {minute for each in bookings for minute in range(each.start, each.end)}
        open_ = {minute for each in free(bookings, 0, 20) for minute in range(each.start, each.end)}
        self.assertEqual(open_, set(range(20)) - taken)
