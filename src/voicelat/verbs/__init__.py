"""One module per verb of the command line: its options, its help, what it prints."""
