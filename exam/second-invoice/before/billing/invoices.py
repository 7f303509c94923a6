"""An invoice as text. Money in cents."""

from billing.customers import customer


def invoice(name, net):
    """The lines of an invoice for a customer."""
    settings = customer(name)
    tax = settings["tax"]
    amount = net * tax["percent"] // 100
    return [
        f"{name}: {net} {settings['currency']}",
        f"{tax['name']} {tax['percent']} %: {amount}",
        f"total: {net + amount} {settings['currency']}",
        f"due in {settings['terms']['days']} days",
    ]
