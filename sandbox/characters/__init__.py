"""Whoever sits behind the sandbox's Claude: small scripted minds that read what they are sent."""
