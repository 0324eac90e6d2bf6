"""`python -m pgbackfill`."""

from pgbackfill.cli.main import main

if __name__ == "__main__":
    main()
