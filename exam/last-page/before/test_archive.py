import unittest

from archive.links import footer
from archive.pages import page, pages

ENTRIES = ["a", "b", "c", "d", "e"]


class Archive(unittest.TestCase):
    def test_an_empty_archive_has_no_page(self):
        self.assertEqual(pages([], 2), [])

    def test_the_first_page(self):
        self.assertEqual(page(ENTRIES, 2, 1), ["a", "b"])

    def test_every_entry_is_on_a_page(self):
        self.assertEqual(pages(ENTRIES, 2), [["a", "b"], ["c", "d"], ["e"]])

    def test_the_footer_counts_all_pages(self):
        self.assertEqual(footer(ENTRIES, 2, 3), "page 3 of 3")


if __name__ == "__main__":
    unittest.main()
