"""Prefect tasks: one module a stage, each a word to the server and a wait for its answer."""
