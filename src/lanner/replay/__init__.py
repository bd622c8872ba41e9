"""Recorded events through the rules, in one process or in several."""
