import unittest

from people.accounts import Accounts
from people.names import key


class Hidden(unittest.TestCase):
    def test_an_accent_is_part_of_the_letter(self):
        accounts = Accounts()
        accounts.open("Jose")
        accounts.open("Jos\u00e9")
        self.assertEqual(accounts.find("JOSE"), "Jose")
        self.assertEqual(accounts.find("JOSE\u0301"), "Jos\u00e9")

    def test_letters_written_in_two_ways(self):
        for one, other in (("\u00c5sa", "A\u030asa"), ("\u1e69", "s\u0307\u0323"), ("\uac00", "\u1100\u1161")):
            self.assertEqual(key(one), key(other))

    def test_different_letters_stay_different(self):
        for one, other in (("Bj\u00f6rn", "Bjorn"), ("Nu\u00f1ez", "Nunez"), ("\u0141", "L")):
            self.assertNotEqual(key(one), key(other))

    def test_upper_and_lower_case_of_every_kind(self):
        for one, other in (("\u00c9va", "e\u0301va"), ("STRASSE", "stra\u00dfe"), ("\u03a3", "\u03c2")):
            self.assertEqual(key(one), key(other))
