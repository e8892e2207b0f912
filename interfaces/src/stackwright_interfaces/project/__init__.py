"""The project's own code: its modules found, hashed without being run, and imported.

``modules`` tells a project's modules from installed ones and imports them anew. ``hashing`` tells whether code is what
it was: :meth:`stackwright_interfaces.trainer.Trainer.code` and the ``code`` of transforms and computations.
``source`` is the text that is hashed, the same on every version of Python.
"""
