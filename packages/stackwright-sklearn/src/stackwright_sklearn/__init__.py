"""scikit-learn as trainer and model format."""
