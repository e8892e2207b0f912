"""Answers: the scorer of a model, its server, its image."""
