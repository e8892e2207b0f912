"""Conformance kits: the same cases for every adapter. Needs ``stackwright-interfaces[testing]``."""
