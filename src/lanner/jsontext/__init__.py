"""JSON as text: values looked up without decoding the whole, and read where a strict decoder refuses."""
