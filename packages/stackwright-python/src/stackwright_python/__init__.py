"""A class of the project as trainer and model format."""
