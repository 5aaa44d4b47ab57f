"""Runs that checkpoint, resume and join: the library behind the commands."""
