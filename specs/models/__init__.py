"""Whole models, ready for `dlc train models.lenet`; each is also an example of the language."""
