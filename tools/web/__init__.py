"""The web viewer's tools: building it and checking it in a browser."""
