"""Who is acting: what the journal writes down."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """Return ``STACKWRIGHT_USER``, or ``user@host``."""
    if "STACKWRIGHT_USER" in os.environ:
        return os.environ["STACKWRIGHT_USER"]
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
