"""The site of the documents, and the pictures that are drawn from the code."""
