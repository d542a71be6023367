"""The product as its users meet it: a real client, a real server process, a real child, a real Redis."""
