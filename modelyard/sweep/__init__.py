"""The sweep: what to do next (pure), and the loop and the sampler that do it."""
