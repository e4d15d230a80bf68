"""The command line: arguments and exit codes."""


def main() -> int:
    return 0
