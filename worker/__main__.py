"""`python -m worker …` is `keepwell …`."""

from worker.cli import main

main(prog_name="keepwell")
