"""What came of predictions: labels that come late, windows reported."""
