"""LightGBM as trainer and model format."""
