import unittest

from rooms.bookings import Booking, merged
from rooms.calendar import free

LONG, INSIDE, LATER = Booking(540, 720), Booking(600, 630), Booking(780, 840)


class Rooms(unittest.TestCase):
    def test_bookings_that_touch_are_one(self):
        self.assertEqual(merged([Booking(540, 600), Booking(600, 660)]), [Booking(540, 660)])

    def test_a_booking_inside_another_changes_nothing(self):
        self.assertEqual(merged([LONG, INSIDE, LATER]), [LONG, LATER])

    def test_a_taken_time_is_not_free(self):
        self.assertEqual(free([LONG, INSIDE], 480, 900), [Booking(480, 540), Booking(720, 900)])

    def test_an_empty_day_is_free(self):
        self.assertEqual(free([], 480, 900), [Booking(480, 900)])


if __name__ == "__main__":
    unittest.main()
