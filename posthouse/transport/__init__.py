"""Delivery agents: each takes a DeliveryRequest and gives an Outcome per recipient."""
