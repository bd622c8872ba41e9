"""Rules made ready to run: loading, selection, dispatch by the shape of a request, and the engine itself."""
