"""What is learnt from: reading it, looking at it, splitting it, keeping it, encoding it."""
