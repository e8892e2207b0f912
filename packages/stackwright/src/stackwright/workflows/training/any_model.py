"""The verb ``train``: a model by its features and labels, a recommender by its interactions."""

from __future__ import annotations

from stackwright.assembly.recommender_part import RecommenderPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.training.lists import train_recommender
from stackwright.workflows.training.train import train as train_model


def train(stack: Stack, name: str | None = None, *, force: bool = False) -> Outcome:
    """Learn, judge and publish what a name of the blueprint stands for.

    Args:
        name: a model or a recommender; may be left out where the blueprint has one.
        force: train even where nothing changed.

    Raises:
        BlueprintError: there is none of this name, or none can be chosen.
        TrainingError: there is too little to learn from, or the fit fails.
    """
    part = stack.trained(name)
    if isinstance(part, RecommenderPart):
        return train_recommender(stack, part, force=force)
    return train_model(stack, part.name, force=force)
