"""``python -m rs_cae``: what is slow to import is imported here, once the interpreter is up."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from rs_cae.cli import main as run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
