"""The inference server: one process for one model version. It knows no registry."""
