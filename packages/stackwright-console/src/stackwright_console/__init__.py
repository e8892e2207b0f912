"""The web page of a stack: what it is made of, what it holds, and how it does."""
