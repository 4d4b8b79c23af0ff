pytest_plugins = [
    "tests.fixtures.stack",
    "tests.fixtures.world",
    "tests.fixtures.file_server",
    "tests.fixtures.docker_host",
    "tests.fixtures.compromised_bus",
]
