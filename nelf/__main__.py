"""`python -m nelf`, which is how torchrun starts it: torchrun --nproc_per_node=2 -m nelf run SCENE."""

from nelf.cli.main import main

main()
