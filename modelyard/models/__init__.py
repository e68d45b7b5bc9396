"""Model families: what can be fitted, how it is built, packed and asked for predictions."""
