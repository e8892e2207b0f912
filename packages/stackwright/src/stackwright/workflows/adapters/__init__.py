"""For those who write adapters: a package to begin with, and the proof that it is right."""
