"""What a stack does: each workflow takes a stack and returns an :class:`~stackwright.workflows.outcome.Outcome`."""
