"""Rules under test: the format of test cases, and what runs them."""
