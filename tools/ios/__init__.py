"""Checks ios_app/ on a Linux machine."""
