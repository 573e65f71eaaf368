"""Makes what is beside it importable for the tests of rooms within this one."""
