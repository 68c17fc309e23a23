"""`python -m agent.cli`: the same as the command, where it is not installed."""

from agent.cli.main import main

if __name__ == "__main__":
    main()
