"""Measures how well and how fast talks are found by whole questions."""
