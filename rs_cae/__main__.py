"""``python -m rs_cae``: what is slow to import is imported here, once the interpreter is up."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from rs_cae.cli import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
