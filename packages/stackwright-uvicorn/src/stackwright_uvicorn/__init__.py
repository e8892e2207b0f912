"""uvicorn as the server."""
