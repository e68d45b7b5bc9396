"""The program of one launch: fetch the document, do the stage's work, report, end with a code."""
