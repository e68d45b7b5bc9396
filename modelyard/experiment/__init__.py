"""The experiment file: its model, how it is read and checked, and its JSON Schema."""
