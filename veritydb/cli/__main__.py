"""`python -m veritydb.cli`: how a supervisor starts the command with the Python it runs under."""

from veritydb.cli.main import main

main()
