"""The command ``bilayer-graph``."""
