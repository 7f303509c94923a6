"""GitHub on loopback: a stateful stand-in for the operations that the product and its users need.

nouns: state.py, git.py · what GitHub's JSON looks like: shapes/ · what can happen: verbs/ · doors: routes/
"""
