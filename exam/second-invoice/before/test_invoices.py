import unittest

from billing.invoices import invoice

BERLIN = ["Berlin: 10000 EUR", "VAT 19 %: 1900", "total: 11900 EUR", "due in 30 days"]


class Invoices(unittest.TestCase):
    def test_a_swiss_invoice(self):
        self.assertEqual(invoice("Basel", 10000)[1:3], ["MWST 8 %: 800", "total: 10800 CHF"])

    def test_an_invoice_does_not_depend_on_the_one_before(self):
        invoice("Basel", 10000)
        self.assertEqual(invoice("Berlin", 10000), BERLIN)


if __name__ == "__main__":
    unittest.main()
