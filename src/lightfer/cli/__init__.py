"""The command line: one module per command, each importing what is heavy only when it runs."""
