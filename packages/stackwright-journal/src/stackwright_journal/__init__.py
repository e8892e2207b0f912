"""Prediction log and label log, their join, and the numbers that decide."""
