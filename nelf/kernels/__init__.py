"""Operations with a kernel for each type of device, and a plain PyTorch form of each."""
