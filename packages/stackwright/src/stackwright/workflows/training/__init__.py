"""The life of a model until it is published: its search, its fit, its run, its stage."""
