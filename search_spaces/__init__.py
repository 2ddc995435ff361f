"""Studies as data: each file holds one ``STUDY``; see its docstring for the question and the cost."""
