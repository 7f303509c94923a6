"""Bookings of one room, in minutes since midnight."""

from typing import NamedTuple


class Booking(NamedTuple):
    start: int
    end: int


def merged(bookings):
    """The times in which the room is taken: in order, and no two of them touch."""
    taken = []
    for booking in sorted(bookings, key=lambda each: each.start):
        if taken and booking.start <= taken[-1].end:
            taken[-1] = Booking(taken[-1].start, max(taken[-1].end, booking.end))
        else:
            taken.append(booking)
    return taken
