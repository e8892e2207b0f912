"""Settings of all tests: no deadlines, for machines are busy; in CI the same examples every time."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("stackwright", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("stackwright")
