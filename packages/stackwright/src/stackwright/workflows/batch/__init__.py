"""Whole tables of predictions: part by part, resumed where they were cut off, checked before anyone sees them."""
