"""Names of people, and when two of them are the same.

Two names are the same when they differ only in upper and lower case, in the spaces around them, or in how Unicode
writes the same letters. José and Jose are two names: an accent is part of the letter.
"""

import unicodedata


def key(name):
    """Equal for names that are the same."""
    letters = unicodedata.normalize("NFD", name.strip().lower())
    return "".join(each for each in letters if not unicodedata.combining(each))
