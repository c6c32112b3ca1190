"""Typed faces of a session, one per kind of component."""
