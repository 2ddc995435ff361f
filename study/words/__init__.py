"""The words of a search space and what follows from them: factors, rules, designs, points."""
