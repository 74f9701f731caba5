"""Tests of the console's server side: `gateway/console`."""
