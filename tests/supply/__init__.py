"""What comes with the product, and what must not: packages with known holes, credentials in the tree."""
