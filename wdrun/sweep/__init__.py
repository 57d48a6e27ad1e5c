"""Jobs -> their ends on disk: all that may be killed and goes on lives here and nowhere else."""
