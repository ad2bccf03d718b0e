"""The command `nelf`: `main` has the commands of a run, `data` and `bench` those of the same name."""
