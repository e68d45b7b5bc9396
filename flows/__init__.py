"""Prefect flows; each reads as its story, and computes nothing itself."""
