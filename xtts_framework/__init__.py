"""Teach XTTS-v2 a language it has never heard."""

__version__ = "0.1.0"
