"""This machine as a place to run: the fork-server executor, and services of this installation."""
