"""Readers of scene formats. Each module detects one or two formats and parses them to a `ParsedScene`."""
