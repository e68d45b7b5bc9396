"""Deployment: rollout decisions as pure functions, and the targets that carry them out."""
