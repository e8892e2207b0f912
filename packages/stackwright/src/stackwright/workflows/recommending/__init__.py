"""Lists: what a recommender learns from, how it is judged, how it is loaded and asked."""
