"""What people who run such systems ran into, each case a test that names it."""
