"""Sessions: the rules of saving, resuming, listing, searching and expiring, whichever place keeps the documents."""
