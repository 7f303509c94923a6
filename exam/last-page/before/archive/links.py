"""The line beneath a page."""

from archive.pages import pages


def footer(entries, size, number):
    """`page 2 of 3`, and nothing for an archive that has one page or none."""
    count = len(pages(entries, size))
    return f"page {number} of {count}" if count > 1 else ""
