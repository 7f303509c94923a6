"""The sandbox's Claude: the Messages API as documented, over real HTTP, with an invoice of its own."""
