"""A sample property market with known truth: listings, prices, searches, clicks, sales."""
