"""Training: recipes, networks, the loop, and export to a bundle."""
