"""What the journal and the way to Redis cost: an earlier build and this one, side by side."""
