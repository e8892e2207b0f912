"""From a blueprint to a stack: read, plan, build. Imports no vendor and no user code."""
