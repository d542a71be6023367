"""Credentials in what is kept: found by format or by name, replaced or only named. `policy` decides, the rest finds."""
