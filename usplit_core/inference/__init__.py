"""Whole frames: tiled prediction, and scores of it."""
