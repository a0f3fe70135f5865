"""The front door: the plugins that hold everything else."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.recording",
    "fixtures.expected_failures",
    "fixtures.reporting",
    "fixtures.progress",
    "fixtures.matrix",
    "fixtures.run",
]
