"""The doors of the sandbox's GitHub: its API in tables of routes, pages for people, controls for tests."""
