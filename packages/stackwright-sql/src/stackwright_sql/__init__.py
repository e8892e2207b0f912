"""Tables of a database, by SQLAlchemy."""
