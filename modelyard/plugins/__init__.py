"""What other distributions add by Python entry points: found by name, loaded when it is named."""
