"""Input that nobody thought of: hypothesis against a running gateway, atheris against everything that parses."""
