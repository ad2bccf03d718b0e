"""The command `nelf`: `main` holds the commands for runs, `data` and `bench` the commands of the same name."""
