"""Empty: see the parent module."""
