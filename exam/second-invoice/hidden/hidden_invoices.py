import unittest

from billing.customers import customer
from billing.invoices import invoice
from billing.settings import settings_of


class Hidden(unittest.TestCase):
    def test_the_terms_of_one_are_not_those_of_the_next(self):
        self.assertEqual(invoice("Bonn", 100)[3], "due in 14 days")
        self.assertEqual(invoice("Berlin", 100)[3], "due in 30 days")

    def test_the_tax_too(self):
        invoice("Basel", 100)
        self.assertEqual(invoice("Bonn", 100)[1], "VAT 19 %: 19")

    def test_who_changes_a_customers_settings_changes_nobody_elses(self):
        customer("Bremen")["terms"]["reminders"].append(99)
        customer("Berlin")["terms"]["reminders"].append(99)
        self.assertEqual(customer("Bremen")["terms"]["reminders"], [3])
        self.assertEqual(customer("Berlin")["terms"]["reminders"], [7, 14])

    def test_what_was_agreed_stays_as_it_was(self):
        agreed = {"tax": {"percent": 7}}
        settings_of(agreed)["tax"]["percent"] = 0
        self.assertEqual(agreed, {"tax": {"percent": 7}})
