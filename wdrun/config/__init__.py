"""Words -> Runs. No torch in here.

1. `experiments.lines` adds what an experiment brings along to the words typed, and asks `axes.expand` for the grid:
   one line of plain words a job.
2. `compose` turns a line into the config that Hydra makes of it: the files of conf/ (`options`), the words applied.
3. `parse` checks every value against what its key accepts (`keys`), fills in defaults, and makes the `Job`:
   a `Run`, which is all that determines the numbers, and what is asked of it besides.

`experiments.jobs` does the three. `help` shows the keys and options, `targets` names the user's code among them.
"""
