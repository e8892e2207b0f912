"""Evidently as a monitoring report."""
