"""Optimisation: schedules."""
