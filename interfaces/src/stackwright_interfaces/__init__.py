"""The contracts of stackwright.

``definitions`` say what features mean. ``feature_store``, ``trainer``, ``registry``, ``server`` and ``monitor`` are the
five contracts. ``model`` is a model at rest and at work, ``plugin`` how adapters are offered, ``testing`` proves them.
"""
