"""What every stage uses. It imports no other package of nelf."""
