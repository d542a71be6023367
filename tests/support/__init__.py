"""What the black-box tests stand on: a real Redis, real processes, bounded waits."""
