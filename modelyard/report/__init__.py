"""What is shown of a sweep, as plain rows that a terminal, a file or a page can render."""
