"""The life of a model as a flow of Metaflow."""

from stackwright_metaflow.flow import Pipeline
from stackwright_metaflow.verbs import verb

__all__ = ["Pipeline", "verb"]
