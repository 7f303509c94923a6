import unittest

from people.accounts import Accounts, Taken

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


class People(unittest.TestCase):
    def test_case_and_spaces_do_not_matter(self):
        accounts = Accounts()
        accounts.open("Ada")
        self.assertEqual(accounts.find(" ADA "), "Ada")

    def test_a_name_is_taken_however_its_letters_are_written(self):
        accounts = Accounts()
        accounts.open(COMPOSED)
        with self.assertRaises(Taken):
            accounts.open(DECOMPOSED)

    def test_a_name_is_kept_as_it_was_typed(self):
        accounts = Accounts()
        accounts.open(DECOMPOSED)
        self.assertEqual(accounts.find(DECOMPOSED), DECOMPOSED)


if __name__ == "__main__":
    unittest.main()
