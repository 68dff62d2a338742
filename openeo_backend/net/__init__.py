"""The only way out: outbound HTTP under one policy."""
