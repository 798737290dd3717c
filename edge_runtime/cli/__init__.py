"""The command line: sole home of printing, exit codes, log set-up and signals."""
