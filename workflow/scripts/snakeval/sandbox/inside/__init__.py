"""The far side of the sandbox: only the standard library, and nothing of snakeval but this package."""
