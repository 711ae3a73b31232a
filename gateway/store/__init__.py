"""The disk: schema (the tables), store (one transaction a batch, and what is read back), chain (proof that nothing was changed)."""
