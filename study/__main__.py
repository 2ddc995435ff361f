"""The `usplit` command: what a user did wrong is one message and exit code 2, never a traceback."""

import sys

from usplit_core.errors import UserError


def main() -> None:
    """Run the command line."""
    from study.cli import app

    try:
        app()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped. What has been computed is kept: the same command goes on.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
