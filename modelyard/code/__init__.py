"""The user's own code: its folder, its class' signature, its archive, and how it is imported."""
