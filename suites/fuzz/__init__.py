"""Bad input at scale: damaged and hostile files of every kind that a user can bring.

`python -m suites.fuzz --inputs N --seed S` makes them, has each read as the commands and pytest
read it, and reports what is neither a clean result nor the project's own error in one sentence.

- `samples`: a small sound file of each kind.
- `mutate`: what is done to one, by bytes or, with hypothesis, by structure.
- `kinds`: each kind of input with what reads it.
- `trial`: many inputs in one forked child, with limits of time and memory.
"""
