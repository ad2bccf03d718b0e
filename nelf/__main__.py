"""`python -m nelf`, which torchrun needs: torchrun --nproc_per_node=2 -m nelf run SCENE."""

from nelf.cli.main import main

main()
