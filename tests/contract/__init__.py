"""One behavioural suite for every place that keeps documents."""
