"""The repository of the demo: a small package about dates, a pull request that broke it, the issue it closes.

The bug is real: on `main` every test passes, on the branch one does not. Which bug it is can be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

OWNER, NAME, PACKAGE = "acme", "calendar", "acme_calendar"
BRANCH = "faster-dates"
# login: role. `eve` is an outsider: she may read, as anyone may.
PEOPLE = {"ada": "admin", "max": "maintain", "dana": "write", "tri": "triage", "ren": "read", "eve": "none"}
NAMES = {
    "ada": "Ada Admin",
    "max": "Max Maintain",
    "dana": "Dana Developer",
    "tri": "Tri Triage",
    "ren": "Ren Reader",
    "eve": "Eve Elsewhere",
}
LABELS = {
    "bug": "d73a4a",
    "enhancement": "a2eeef",
    "agent:cost=$2": "0e8a16",
    "agent:cost=$10": "0e8a16",
    "agent:class=feature": "5319e7",
}


@dataclass(frozen=True)
class Bug:
    """One change that breaks a test: `good` stands once in the file on the branch, and becomes `bad`."""

    file: str
    good: str
    bad: str
    says: str


BUGS = {
    "leap": Bug(
        f"{PACKAGE}/years.py",
        "return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)",
        "return year % 4 == 0 and (year % 100 != 0 or year % 400 != 0)",
        "centuries: 1900 becomes a leap year and 2000 does not",
    ),
    "off_by_one": Bug(
        f"{PACKAGE}/business.py",
        "while day <= last:",
        "while day < last:",
        "business days forget the last day",
    ),
    "month_end": Bug(
        f"{PACKAGE}/months.py",
        "day = min(start.day, days_in_month(year, month))",
        "day = max(start.day, days_in_month(year, month))",
        "adding a month to the 31st leaves the month",
    ),
    "sign": Bug(
        f"{PACKAGE}/years.py",
        "return (end - start).days",
        "return (end + start).days",
        "days between two dates are added instead of subtracted",
    ),
}


def text(source: str) -> str:
    return dedent(source).lstrip("\n")


# What `main` has. Each file is the plain form; the branch has the quicker one, and in it the bug.
FILES: dict[str, str] = {
    "README.md": text("""
        # acme-calendar

        Dates for people who bill by the day: leap years, month ends, business days. Standard library only.

        ```
        python -m unittest
        ```
        """),
    ".gitignore": "__pycache__/\n*.pyc\n",
    f"{PACKAGE}/__init__.py": text('''
        """Dates for people who bill by the day."""

        from acme_calendar.business import business_days, is_business_day
        from acme_calendar.months import add_months, days_in_month
        from acme_calendar.years import days_between, days_in_year, is_leap

        __all__ = [
            "add_months",
            "business_days",
            "days_between",
            "days_in_month",
            "days_in_year",
            "is_business_day",
            "is_leap",
        ]
        '''),
    f"{PACKAGE}/years.py": text('''
        """Years and the days between dates."""

        from datetime import date


        def is_leap(year: int) -> bool:
            """Whether a year of the Gregorian calendar has a 29 February."""
            if year % 400 == 0:
                return True
            if year % 100 == 0:
                return False
            return year % 4 == 0


        def days_in_year(year: int) -> int:
            if is_leap(year):
                return 366
            return 365


        def days_between(start: date, end: date) -> int:
            """How many nights lie between two dates; negative when `end` is the earlier one."""
            return (end - start).days
        '''),
    f"{PACKAGE}/months.py": text('''
        """Months: how long they are, and moving by them."""

        from datetime import date

        from acme_calendar.years import is_leap

        LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


        def days_in_month(year: int, month: int) -> int:
            """The days of a month, 1 to 12."""
            if month == 2 and is_leap(year):
                return 29
            return LENGTHS[month - 1]


        def add_months(start: date, months: int) -> date:
            """The same day some months later; the last day of a month that is too short for it."""
            year, month = start.year, start.month
            for _ in range(months):
                month += 1
                if month == 13:
                    year, month = year + 1, 1
            day = start.day
            while day > days_in_month(year, month):
                day -= 1
            return date(year, month, day)
        '''),
    f"{PACKAGE}/business.py": text('''
        """Business days: Monday to Friday, without holidays."""

        from collections.abc import Collection
        from datetime import date, timedelta


        def is_business_day(day: date, holidays: Collection[date] = ()) -> bool:
            if day in holidays:
                return False
            return day.weekday() < 5


        def business_days(first: date, last: date, holidays: Collection[date] = ()) -> int:
            """How many business days there are from `first` to `last`, both included."""
            count = 0
            for offset in range((last - first).days + 1):
                if is_business_day(first + timedelta(days=offset), holidays):
                    count += 1
            return count
        '''),
    "tests/__init__.py": "",
    "tests/test_years.py": text("""
        import unittest
        from datetime import date

        from acme_calendar import days_between, days_in_year, is_leap


        class Years(unittest.TestCase):
            def test_every_fourth_year_is_a_leap_year(self):
                self.assertTrue(is_leap(2024))
                self.assertFalse(is_leap(2023))

            def test_centuries_are_leap_years_only_every_400_years(self):
                self.assertFalse(is_leap(1900))
                self.assertTrue(is_leap(2000))
                self.assertFalse(is_leap(2100))

            def test_days_in_year(self):
                self.assertEqual(days_in_year(2023), 365)
                self.assertEqual(days_in_year(2024), 366)

            def test_days_between(self):
                self.assertEqual(days_between(date(2024, 2, 28), date(2024, 3, 1)), 2)
                self.assertEqual(days_between(date(2024, 3, 1), date(2024, 2, 28)), -2)


        if __name__ == "__main__":
            unittest.main()
        """),
    "tests/test_months.py": text("""
        import unittest
        from datetime import date

        from acme_calendar import add_months, days_in_month


        class Months(unittest.TestCase):
            def test_february(self):
                self.assertEqual(days_in_month(2023, 2), 28)
                self.assertEqual(days_in_month(2024, 2), 29)

            def test_adding_months_within_a_year(self):
                self.assertEqual(add_months(date(2024, 3, 15), 2), date(2024, 5, 15))

            def test_adding_months_over_the_new_year(self):
                self.assertEqual(add_months(date(2023, 11, 5), 3), date(2024, 2, 5))

            def test_the_31st_of_a_shorter_month_is_its_last_day(self):
                self.assertEqual(add_months(date(2024, 1, 31), 1), date(2024, 2, 29))
                self.assertEqual(add_months(date(2024, 8, 31), 1), date(2024, 9, 30))


        if __name__ == "__main__":
            unittest.main()
        """),
    "tests/test_business.py": text("""
        import unittest
        from datetime import date

        from acme_calendar import business_days, is_business_day

        NEW_YEAR = date(2024, 1, 1)


        class Business(unittest.TestCase):
            def test_weekends_are_free(self):
                self.assertFalse(is_business_day(date(2024, 1, 6)))
                self.assertTrue(is_business_day(date(2024, 1, 5)))

            def test_a_week_has_five_business_days(self):
                self.assertEqual(business_days(date(2024, 1, 8), date(2024, 1, 14)), 5)

            def test_both_ends_count(self):
                self.assertEqual(business_days(date(2024, 1, 8), date(2024, 1, 8)), 1)
                self.assertEqual(business_days(date(2024, 1, 8), date(2024, 1, 12)), 5)

            def test_holidays_do_not_count(self):
                self.assertEqual(business_days(NEW_YEAR, date(2024, 1, 5), {NEW_YEAR}), 4)


        if __name__ == "__main__":
            unittest.main()
        """),
}

# What the pull request makes of it: quicker, and right but for the bug.
QUICKER: dict[str, str] = {
    f"{PACKAGE}/years.py": text('''
        """Years and the days between dates."""

        from datetime import date


        def is_leap(year: int) -> bool:
            """Whether a year of the Gregorian calendar has a 29 February."""
            return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


        def days_in_year(year: int) -> int:
            return 366 if is_leap(year) else 365


        def days_between(start: date, end: date) -> int:
            """How many nights lie between two dates; negative when `end` is the earlier one."""
            return (end - start).days
        '''),
    f"{PACKAGE}/months.py": text('''
        """Months: how long they are, and moving by them."""

        from datetime import date

        from acme_calendar.years import is_leap

        LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


        def days_in_month(year: int, month: int) -> int:
            """The days of a month, 1 to 12."""
            return 29 if month == 2 and is_leap(year) else LENGTHS[month - 1]


        def add_months(start: date, months: int) -> date:
            """The same day some months later; the last day of a month that is too short for it."""
            years, month = divmod(start.month - 1 + months, 12)
            year, month = start.year + years, month + 1
            day = min(start.day, days_in_month(year, month))
            return date(year, month, day)
        '''),
    f"{PACKAGE}/business.py": text('''
        """Business days: Monday to Friday, without holidays."""

        from collections.abc import Collection
        from datetime import date, timedelta

        DAY = timedelta(days=1)


        def is_business_day(day: date, holidays: Collection[date] = ()) -> bool:
            return day.weekday() < 5 and day not in holidays


        def business_days(first: date, last: date, holidays: Collection[date] = ()) -> int:
            """How many business days there are from `first` to `last`, both included."""
            count, day = 0, first
            while day <= last:
                count += is_business_day(day, holidays)
                day += DAY
            return count
        '''),
}

ISSUE_TITLE = "Month arithmetic is slow"
ISSUE = text("""
    Adding 600 months to a date walks through every one of them, and billing does that for each contract.

    - [ ] `add_months` without a loop
    - [ ] `business_days` without building offsets
    - [ ] one expression for leap years
    """)
PULL_TITLE = "Dates without loops"
PULL = text("""
    Replaces the loops by arithmetic. About forty times faster on our contracts.

    Closes #1

    CI is red and I do not see why: `python -m unittest` fails on one test.
    """)


def branch_files(bug: str) -> dict[str, str]:
    """The files that the pull request changes, with this bug in them. Raises KeyError for an unknown one."""
    chosen = BUGS[bug]
    files = dict(QUICKER)
    if files[chosen.file].count(chosen.good) != 1:
        raise ValueError(f"the bug {bug} does not stand in {chosen.file}")
    files[chosen.file] = files[chosen.file].replace(chosen.good, chosen.bad)
    return files
