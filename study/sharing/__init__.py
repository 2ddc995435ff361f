"""Trials that nodes share through an object store instead of a folder."""
