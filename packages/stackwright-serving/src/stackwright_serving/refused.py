"""Requests that are not answered as they stand."""

from __future__ import annotations

from stackwright_interfaces.errors import PredictionError, UsageError


class Refused(UsageError):
    """A request refused for its form, with the status that says so."""

    def __init__(self, status: int, found: str, todo: str = "", *, where: str = "request") -> None:
        self.status = status
        super().__init__(where, found, todo)


class RowRefused(PredictionError):
    """A row that a model does not answer for, as its policy says; the model itself is well."""


class EntityNotFound(RowRefused):
    """Nothing is stored of an entity whose stored features a model needs."""


class ClientLeft(Exception):
    """The client closed the connection before it was answered."""
