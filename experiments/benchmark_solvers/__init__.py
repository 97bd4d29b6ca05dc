"""How fast does each solver reach the optimum of a linear classifier?

The peers' side: `peers` (the table: scikit-learn, LIBLINEAR, PyTorch, optax, jaxopt;
implemented in `peers_sklearn`, `peers_torch`, `peers_jax`), `isolation` (each in a
process of its own, with a deadline), `traces` (where it was, and when), `judge` (how
near it came, by our objective alone).
"""
