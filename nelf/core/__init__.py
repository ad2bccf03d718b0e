"""What every stage uses and what knows none of them."""
