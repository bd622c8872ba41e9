"""What the service tells about itself over HTTP: health, readiness, versions, metrics. Events come in elsewhere."""
