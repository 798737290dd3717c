"""What a conversion does in child processes: a module for each job, with a function `run(job)`.

A job runs on the Python of its framework's environment, where edge-runtime need not be installed.
So this package imports the standard library, numpy and frameworks only (frameworks inside
functions), and its modules import each other relatively. `worker.py` starts it.
"""
