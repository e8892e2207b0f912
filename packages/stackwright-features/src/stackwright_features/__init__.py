"""Composes an offline and an online half into a feature store: joins, windows, transforms, materialisation, reads."""
