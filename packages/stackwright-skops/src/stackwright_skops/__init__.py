"""Fitted scikit-learn estimators as bytes and back, without pickle."""
