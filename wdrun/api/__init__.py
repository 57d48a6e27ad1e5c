"""wdrun from Python: runs and sweeps as results, tables as pandas frames, choices, figures and trained modules."""
