"""The command line: parse, make one public call, show what it gave. No logic."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    # Late: each process that a command starts imports the script that calls this, and has no use for the commands.
    from pyrite.cli.application import main as run

    run()
