"""Measuring: operations, time, energy and carbon of a network, and the machine it ran on."""
