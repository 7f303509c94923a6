"""Measurements beside our peers: each program runs both sides at once and prints what it found."""
