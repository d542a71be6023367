"""Finds credentials in what is kept, by format or by name; `policy` decides whether they are replaced or only named."""
