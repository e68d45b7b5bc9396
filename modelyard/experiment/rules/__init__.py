"""Rules across the fields of an experiment, one subject a module."""
