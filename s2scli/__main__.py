"""Run `s2s` as `python -m s2scli`."""

from s2scli.main import main

if __name__ == "__main__":
    main()
