"""Cursor's Admin API on loopback: a team, what it used, and how its answers go wrong."""
