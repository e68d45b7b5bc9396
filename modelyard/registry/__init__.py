"""The registry: MLflow runs, model versions, lineage and aliases. Only here is MLflow imported."""
