"""Training and evaluation: loss terms, metrics, and the tasks that Lightning runs."""
