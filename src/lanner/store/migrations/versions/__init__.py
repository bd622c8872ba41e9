"""One module for each version of the store. What is released never changes."""
