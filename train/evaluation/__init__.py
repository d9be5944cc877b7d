"""Separators, scores and their results."""
