"""The command line: starts and ends processes, asks the server, prints."""
