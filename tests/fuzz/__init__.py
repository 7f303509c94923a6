"""Bad input, without end: every place where the product reads what others wrote, and what must hold there.

`make fuzz` tries each target for its share of the time (`python -m tests.fuzz --minutes 30`), and
`tests/test_fuzz.py` a fixed number of inputs. A target is a strategy of inputs and a law (`target.py`); a new
one is a file here and a word in `targets.py`.
"""
