"""What holds for a customer of whom nothing else is known."""

DEFAULTS = {
    "currency": "EUR",
    "tax": {"name": "VAT", "percent": 19},
    "terms": {"days": 30, "reminders": [7, 14]},
}
