"""`python -m headway.pipelines.cli` is the command `headway`."""

from headway.pipelines.cli import main

main()
