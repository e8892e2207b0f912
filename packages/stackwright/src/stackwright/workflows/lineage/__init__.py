"""Where a version came from: traced, compared, judged and trained again; and what a change would reach."""
