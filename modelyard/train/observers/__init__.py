"""What watches a fit for the scores of its health and for the numbers that it keeps."""
