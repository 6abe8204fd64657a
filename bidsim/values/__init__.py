"""One file per value model: what impressions are worth to bidders, where no users are simulated."""
