"""Comparing a part with another that could stand in its place, moving what it keeps, and exchanging it."""
