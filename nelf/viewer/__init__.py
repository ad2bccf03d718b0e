"""Serves the web viewer for one bundle."""
