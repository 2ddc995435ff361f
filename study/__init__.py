"""Plans and runs many trials: the words of a study, its ledger, Ray, tracking and the command line."""
