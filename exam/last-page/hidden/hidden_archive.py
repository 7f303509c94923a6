import unittest

from archive.links import footer
from archive.pages import page, pages


class Hidden(unittest.TestCase):
    def test_a_last_page_that_is_full(self):
        self.assertEqual(pages([1, 2, 3, 4], 2), [[1, 2], [3, 4]])

    def test_one_page_is_enough(self):
        self.assertEqual(pages([1, 2], 2), [[1, 2]])
        self.assertEqual(pages([1], 2), [[1]])
        self.assertEqual(footer([1], 2, 1), "")

    def test_nothing_is_lost_or_repeated(self):
        for count in range(20):
            for size in range(1, 8):
                entries = list(range(count))
                cut = pages(entries, size)
                self.assertEqual([entry for each in cut for entry in each], entries)
                self.assertTrue(all(each for each in cut))

    def test_there_is_no_page_behind_the_last(self):
        with self.assertRaises(IndexError):
            page([1, 2, 3, 4], 2, 3)
