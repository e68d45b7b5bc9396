"""Benchmarks beside their peers; ``python -m bench`` prints the table."""
