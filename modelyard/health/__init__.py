"""How well a model learnt, apart from its metric: six scores, and the numbers a trial keeps."""
