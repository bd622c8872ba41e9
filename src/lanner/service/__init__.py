"""The parts of the running service: what happens to a delivery, and who keeps watch."""
