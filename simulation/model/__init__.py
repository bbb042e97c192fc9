"""Small scope, breadth first: what can happen to three replicas, within bounds, in any order."""
