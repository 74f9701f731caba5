"""The published protocol documents as tests, and the app that their official suites expect."""
