"""The command line: one module per group of commands, each of which defines what the commands take and what they do."""
