"""Commands to a running pipeline over its broker: off unless the run file lists their verbs."""
