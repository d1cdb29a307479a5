"""What the commands of the command line do; each returns the text that is printed."""
