"""What each command does: the one place where study, core and analysis meet."""
