"""Schedules, audio features and timelines that drive generated video."""
