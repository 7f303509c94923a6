"""An archive, a page at a time."""


def pages(entries, size):
    """The entries in pages of `size`; the last page has what is left."""
    if size < 1:
        raise ValueError("a page has at least one entry")
    return [entries[start : start + size] for start in range(0, len(entries), size)]


def page(entries, size, number):
    """Page `number`, counted from 1. Raises IndexError when there is no such page."""
    if number < 1:
        raise IndexError(f"there is no page {number}")
    return pages(entries, size)[number - 1]
