"""`python -m lightfer`."""

from lightfer.cli import main

main()
