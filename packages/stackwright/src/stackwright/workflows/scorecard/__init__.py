"""Google's ML Test Score of a project."""
