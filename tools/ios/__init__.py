"""Checks of ios_app/ on a Linux machine."""
