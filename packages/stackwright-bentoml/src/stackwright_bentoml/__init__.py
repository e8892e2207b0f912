"""BentoML as the server, and bentos of a project."""
