"""Published versions: found, shown, promoted, retired, exported."""
