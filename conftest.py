"""The front door: the plugins that hold everything else."""

pytest_plugins = [
    "fixtures.verdicts",
    "fixtures.brought",
    "fixtures.cases",
    "fixtures.subjects",
    "fixtures.runners",
    "fixtures.measured",
]
