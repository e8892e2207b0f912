"""Numbers shared by every path: row codec, categories, windows, metrics, drift, conformal tables."""
