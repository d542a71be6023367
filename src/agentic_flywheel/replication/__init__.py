"""Replication: documents in their destination and on this machine, and what goes between the two at once or later."""
