"""A legal office's assistant whose agents remember with Mnemic. Not here: the terminal program (`main.py` beside this package)."""
