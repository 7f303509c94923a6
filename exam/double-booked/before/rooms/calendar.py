"""When a room is free."""

from rooms.bookings import Booking, merged


def free(bookings, opens, closes):
    """The free times between `opens` and `closes`, in order."""
    slots, at = [], opens
    for taken in merged(bookings):
        if taken.start > at:
            slots.append(Booking(at, min(taken.start, closes)))
        at = max(at, taken.end)
    if at < closes:
        slots.append(Booking(at, closes))
    return slots
