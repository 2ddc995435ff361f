"""Reads the store of a study and draws tables, figures and a report. Loads neither torch nor ray."""
