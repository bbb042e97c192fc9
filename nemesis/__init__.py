"""Real nodes, published to without a pause while they are killed, frozen, damaged and emptied."""
