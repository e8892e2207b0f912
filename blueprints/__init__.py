"""Ready stacks for common use cases."""
