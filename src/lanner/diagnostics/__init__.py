"""Problems in user input: where they are, what they are, and how they are shown."""
