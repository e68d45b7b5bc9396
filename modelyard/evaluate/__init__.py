"""Judging a model: metrics, gates with their bounds, and the comparison with the champion."""
