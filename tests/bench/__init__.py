"""What every operation costs, beside the stock child, other servers and the floor; `python -m tests.bench`."""
