"""The rows that models learn from and are judged by: labels joined with features as they were."""
