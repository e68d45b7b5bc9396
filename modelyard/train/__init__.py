"""Fitting one configuration: the loop of a network, the fit of a classical model, checkpoints."""
