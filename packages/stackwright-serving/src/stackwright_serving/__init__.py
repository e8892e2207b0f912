"""The scorer and the ASGI application with its protocols."""
