"""The front door: the plugins that hold everything else."""

pytest_plugins = [
    "fixtures.recording",
    "fixtures.expected_failures",
    "fixtures.reporting",
    "fixtures.progress",
    "fixtures.external_model",
    "fixtures.matrix",
    "fixtures.artifacts",
    "fixtures.target",
    "fixtures.measurement",
]
