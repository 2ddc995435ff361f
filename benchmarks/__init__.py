"""Measurements of quality and speed, each a program with a command of its own; see README.md here."""
