"""The fields that conditions and outputs name: one table each for ka.*, json.* and jevt.*, and evt.*."""
