"""Names of people, and when two of them are the same.

Two names are the same when they differ only in upper and lower case, in the spaces around them, or in how Unicode
writes the same letters. José and Jose are two names: an accent is part of the letter.
"""


def key(name):
    """Equal for names that are the same."""
    return name.strip().lower()
