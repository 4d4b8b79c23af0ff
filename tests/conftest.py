pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.world",
    "tests.fixtures.fileserver",
    "tests.fixtures.dockerhost",
]
