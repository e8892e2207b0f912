"""What estimators raise: the project's errors, which are ``ValueError`` too, as scikit-learn's conventions ask."""

from __future__ import annotations

from stackwright_interfaces.errors import DataError, UsageError


class InvalidData(DataError, ValueError):
    """Rows, targets or metadata that an estimator cannot take."""


class InvalidParameter(UsageError, ValueError):
    """A parameter of an estimator, or a combination of such, that makes no sense."""
