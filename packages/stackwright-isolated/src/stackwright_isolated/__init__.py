"""Adapters in virtual environments of their own, spoken to over Arrow IPC."""
