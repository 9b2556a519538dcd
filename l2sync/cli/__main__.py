"""`python -m l2sync.cli` is `l2sync`."""

from .main import main

main()
