"""The command line: one verb a workflow."""
