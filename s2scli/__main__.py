"""`python -m s2scli` is `s2s`."""

from s2scli.main import main

if __name__ == "__main__":
    main()
