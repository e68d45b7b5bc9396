"""Launches as Kubernetes Jobs: manifests, what is seen of them, and the executor over both."""
